"""Gates on activations: channels fade out while the weights stay as they are."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from systolith.prune.errors import PruneError
from systolith.prune.filters.groups import ChannelGroup, consumer_gates

__all__ = ["gated", "gated_channels"]


@contextmanager
def gated(model: nn.Module, gates: Mapping[str, Tensor]) -> Iterator[None]:
    """Multiply outputs of modules by gates, channel by channel, inside a ``with`` block.

    Good for evaluation, and for the derivative of the loss with respect to gates of 1. To train
    what a gate of 0 hides, see :func:`gated_channels`.

    Parameters
    ----------
    model : nn.Module
    gates : mapping of str to Tensor, shape (C,) or (N, C)
        By module name, from :func:`module_gates` or :meth:`FilterMasks.gates`; bool or float. Gates
        with N rows are one for each sample. They take the type of the activations; gradients flow
        to them.

    Raises
    ------
    PruneError
        If a gate names no module; all of them are listed.
    """
    known = {name for name, _ in model.named_modules()}
    if unknown := [name for name in gates if name not in known]:
        raise PruneError(f"gates must name a module of the model, got '{name}'" for name in unknown)
    with ExitStack() as hooks:
        for name, gate in gates.items():

            def multiply(
                module: nn.Module, given: Any, output: Tensor, gate: Tensor = gate
            ) -> Tensor:
                return output * _beside(output, gate).to(output.dtype)

            hooks.enter_context(model.get_submodule(name).register_forward_hook(multiply))
        yield


@contextmanager
def gated_channels(
    model: nn.Module,
    groups: Sequence[ChannelGroup],
    gates: Mapping[str, Tensor],
    straight_through: bool = False,
) -> Iterator[None]:
    """Multiply channels by gates where convolutions and linear layers read them.

    The network computes as if gates sat behind the batch norms, or as if filters with a gate of 0
    were gone. The difference is in what they learn: behind a ReLU, a gate of 0 still knows what it
    hides, while a ReLU that reads zeros passes no gradient, whatever is done to the gate.

    Parameters
    ----------
    model : nn.Module
    groups : sequence of ChannelGroup
        Those that `gates` does not name are left alone.
    gates : mapping of str to Tensor, shape (size,) or (N, size)
        By name of removable groups; bool or float. Gates with N rows are one for each sample.
    straight_through : bool
        Let the gradient with respect to the channels pass as if the gate were 1, so what is gated
        learns on. Gates that require a gradient get theirs in either case.

    Notes
    -----
    Straight-through estimator: Bengio, Leonard, Courville: Estimating or propagating gradients
    through stochastic neurons (arXiv 1308.3432).
    """
    with ExitStack() as hooks:
        for name, gate in consumer_gates(groups, gates).items():
            hook = _Hook(gate, straight_through)
            hooks.enter_context(model.get_submodule(name).register_forward_pre_hook(hook))
        yield


class _Hook:
    def __init__(self, gate: Tensor, straight_through: bool) -> None:
        self._gate, self._straight_through = gate, straight_through

    def __call__(self, module: nn.Module, given: tuple[Tensor]) -> Tensor:
        (channels,) = given
        gate = _beside(channels, self._gate)
        if not self._straight_through:
            return channels * gate.to(channels.dtype)
        result: Tensor = _StraightThrough.apply(channels, gate)  # type: ignore[no-untyped-call]
        return result  # torch does not annotate apply()


def _beside(channels: Tensor, gate: Tensor) -> Tensor:
    rows = gate if gate.ndim == 2 else gate.unsqueeze(0)
    return rows.view(*rows.shape, *[1] * (channels.ndim - 2))


class _StraightThrough(torch.autograd.Function):
    """A product whose gradient with respect to its first factor ignores the second."""

    @staticmethod
    def forward(ctx: Any, channels: Tensor, gate: Tensor) -> Tensor:
        if ctx.needs_input_grad[1]:
            ctx.save_for_backward(channels)
            ctx.shape, ctx.dtype = gate.shape, gate.dtype
        return channels * gate.to(channels.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor | None]:
        (gradient,) = gradients
        if not ctx.needs_input_grad[1]:
            return gradient, None
        (channels,) = ctx.saved_tensors
        return gradient, (gradient * channels).to(ctx.dtype).sum_to_size(ctx.shape)
