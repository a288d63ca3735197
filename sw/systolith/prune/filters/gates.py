"""Gates on activations: channels fade out while the weights stay as they are."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn

from systolith.prune.errors import PruneError
from systolith.prune.filters.groups import ChannelGroup, consumer_gates

__all__ = ["gated", "gated_channels"]


@contextmanager
def gated(model: nn.Module, gates: Mapping[str, Tensor]) -> Iterator[None]:
    """Multiply outputs of modules by gates, channel by channel, inside a ``with`` block.

    Use it for evaluation, and for the derivative of the loss with respect to gates of 1. For
    training gates of 0, see :func:`gated_channels`.

    Parameters
    ----------
    model : nn.Module
    gates : mapping of str to Tensor, shape (C,) or (N, C)
        By module name, from :func:`systolith.prune.module_gates` or
        :meth:`systolith.prune.FilterMasks.gates`; bool or float. With N rows, each sample has its
        own. Gates are converted to the type of the activations; gradients flow to them.

    Raises
    ------
    PruneError
        Lists every gate that names no module.
    """
    known = {name for name, _ in model.named_modules()}
    if unknown := [name for name in gates if name not in known]:
        raise PruneError(f"gates must name a module of the model, got '{name}'" for name in unknown)
    with ExitStack() as hooks:
        for name, gate in gates.items():

            def multiply(
                module: nn.Module, given: Any, output: Tensor, gate: Tensor = gate
            ) -> Tensor:
                return output * _beside(gate, output)

            hooks.enter_context(model.get_submodule(name).register_forward_hook(multiply))
        yield


@contextmanager
def gated_channels(
    model: nn.Module, groups: Sequence[ChannelGroup], gates: Mapping[str, Tensor]
) -> Iterator[None]:
    """Multiply channels by gates where convolutions and linear layers read them.

    The network computes as if gates were behind the batch norms, or as if filters with a gate of 0
    were removed. Gradients differ: a gate behind a ReLU gets the gradient of the channel that it
    hides, while a ReLU that reads zeros passes no gradient to a gate before it.

    Parameters
    ----------
    model : nn.Module
    groups : sequence of ChannelGroup
        Groups that `gates` does not name keep everything.
    gates : mapping of str to Tensor, shape (size,) or (N, size)
        By name of removable groups; bool or float. N rows are one for each sample. Gates are
        converted to the type of the activations; gradients flow to them.
    """
    with ExitStack() as hooks:
        for name, gate in consumer_gates(groups, gates).items():

            def multiply(module: nn.Module, given: tuple[Tensor], gate: Tensor = gate) -> Tensor:
                return given[0] * _beside(gate, given[0])

            hooks.enter_context(model.get_submodule(name).register_forward_pre_hook(multiply))
        yield


def _beside(gate: Tensor, channels: Tensor) -> Tensor:
    """Bring a gate, shape (C,) or (N, C), to a shape and type that multiplies (N, C, ...)."""
    rows = gate if gate.ndim == 2 else gate.unsqueeze(0)
    return rows.view(*rows.shape, *[1] * (channels.ndim - 2)).to(channels.dtype)
