"""Masked filters that go on learning, and that nothing else learns from."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from systolith.prune.filters.gates import per_channel
from systolith.prune.filters.groups import ChannelGroup
from systolith.prune.filters.spreading import consumer_gates, producer_gates

__all__ = ["straight_through"]


@contextmanager
def straight_through(
    model: nn.Module, groups: Sequence[ChannelGroup], masks: Mapping[str, Tensor]
) -> Iterator[None]:
    """Mask filters forward; backward, let the gradient reach them as if they were not masked.

    The network computes as with :func:`gated_channels`, and what is kept gets the gradients of the
    masked network. In addition, each masked filter gets those it would have if it were about to
    return: the gradient passes its mask and reaches its weights, but goes no further up. For a
    filter with weights W and mask m, that is ``dL/dW := dL/d(m W)``.

    Parameters
    ----------
    model : nn.Module
    groups : sequence of ChannelGroup
        Those that `masks` does not name are left alone.
    masks : mapping of str to Tensor, shape (size,)
        By name of removable groups; True or 1 keeps.

    Notes
    -----
    Straight-through estimator: Bengio, Leonard, Courville: Estimating or propagating gradients
    through stochastic neurons (arXiv 1308.3432). Masks sit on activations instead of weights: a
    batch norm has no use for a filter of zeros.
    """
    with ExitStack() as stack:
        for name, mask in consumer_gates(groups, masks).items():
            hook = model.get_submodule(name).register_forward_pre_hook(partial(_hide, mask))
            stack.enter_context(hook)
        for name, mask in producer_gates(groups, masks).items():
            module = model.get_submodule(name)
            if not isinstance(module, nn.Conv2d) or module.groups == 1:
                # A depthwise convolution reads nothing but channels of its own unit.
                stack.enter_context(_producing(module, mask))
        yield


def _hide(mask: Tensor, module: nn.Module, given: tuple[Tensor]) -> Tensor:
    result: Tensor = _Hide.apply(given[0], per_channel(mask, given[0]))  # type: ignore[no-untyped-call]
    return result  # torch does not annotate apply()


class _Hide(torch.autograd.Function):
    """A product whose gradient ignores the second factor."""

    @staticmethod
    def forward(ctx: Any, channels: Tensor, mask: Tensor) -> Tensor:
        return channels * mask.to(channels.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,) = gradients
        return gradient, None


@contextmanager
def _producing(module: nn.Module, mask: Tensor) -> Iterator[None]:
    """Let a convolution or linear layer tell its input only about the filters that are kept."""
    own = module.__dict__.get("forward")
    module.forward = partial(_produce, module, mask)
    try:
        yield
    finally:
        del module.forward
        if own is not None:
            module.forward = own


def _produce(module: nn.Module, mask: Tensor, given: Tensor) -> Tensor:
    assert isinstance(module, nn.Conv2d | nn.Linear), "producers are"
    settings: tuple[Any, ...] = ()
    if isinstance(module, nn.Conv2d):
        padding = module.padding
        if isinstance(padding, str) or module.padding_mode != "zeros":
            mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
            given = F.pad(given, module._reversed_padding_repeated_twice, mode)
            padding = (0, 0)
        settings = module.stride, padding, module.dilation
    result: Tensor = _Produce.apply(  # type: ignore[no-untyped-call]  # torch does not annotate it
        given, module.weight, module.bias, mask, settings
    )
    return result


class _Produce(torch.autograd.Function):
    """A convolution, or a linear layer, of which masked filters pass no gradient to the input."""

    @staticmethod
    def forward(
        ctx: Any,
        given: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        mask: Tensor,
        settings: tuple[Any, ...],
    ) -> Tensor:
        ctx.save_for_backward(given, weight, mask)
        ctx.settings = settings
        return (
            F.conv2d(given, weight, bias, *settings) if settings else F.linear(given, weight, bias)
        )

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        given, weight, mask = ctx.saved_tensors
        kept = weight * mask.view(-1, *[1] * (weight.ndim - 1))
        # Mixed precision gives a gradient of another type than the parameters.
        operands = gradient, given.to(gradient.dtype), kept.to(gradient.dtype)
        needs = ctx.needs_input_grad[:3]
        found = _backward(*operands, ctx.settings, needs)
        types = given.dtype, weight.dtype, weight.dtype
        return *(_as(f, t) for f, t in zip(found, types, strict=True)), None, None


def _backward(
    gradient: Tensor, given: Tensor, kept: Tensor, settings: tuple[Any, ...], needs: Sequence[bool]
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Gradients of input, weights and bias; only that of the input depends on the weights."""
    if settings:
        stride, padding, dilation = settings
        result: tuple[Tensor | None, Tensor | None, Tensor | None] = (
            torch.ops.aten.convolution_backward(
                *(gradient, given, kept, [len(kept)], stride, padding, dilation),
                *(False, [0, 0], 1, list(needs)),
            )
        )
        return result
    return (
        gradient @ kept if needs[0] else None,
        gradient.T @ given if needs[1] else None,
        gradient.sum(0) if needs[2] else None,
    )


def _as(tensor: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    return None if tensor is None else tensor.to(dtype)
