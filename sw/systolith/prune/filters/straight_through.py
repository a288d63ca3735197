"""Masked filters that continue to learn, but do not influence other layers."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from systolith.prune.filters.groups import (
    ChannelGroup,
    consumer_gates,
    is_depthwise,
    producer_gates,
)
from systolith.prune.filters_first import Convolution, Transposed, as_stored, filter_weights

__all__ = ["MaskedFilters", "straight_through"]


def straight_through(
    model: nn.Module, groups: Sequence[ChannelGroup], masks: Mapping[str, Tensor]
) -> AbstractContextManager[None]:
    """Mask filters in forward; in backward, pass the gradient straight through the masks.

    The network computes as with :func:`systolith.prune.gated_channels`, and kept filters get the
    gradients of the masked network. Each masked filter gets the gradient that it would have if it
    returned: the gradient passes its mask and reaches its weights, but no layer before it. For a
    filter with weights W and mask m, this is ``dL/dW := dL/d(m W)``.

    Parameters
    ----------
    model : nn.Module
    groups : sequence of ChannelGroup
        Groups that `masks` does not name keep everything.
    masks : mapping of str to Tensor, shape (size,)
        By name of removable groups; True or 1 keeps.

    Notes
    -----
    Straight-through estimator: Bengio, Leonard, Courville: Estimating or propagating gradients
    through stochastic neurons (arXiv 1308.3432). A filter is masked where it is read, not by
    weights of zero, because a batch norm would divide by a variance of zero.
    """
    return MaskedFilters(model, groups, masks, learn_on=True).applied()


class MaskedFilters:
    """Masks on a model that are prepared once and applied many times.

    Parameters
    ----------
    model, groups, masks
        As for :func:`straight_through`.
    learn_on : bool
        Whether masked filters learn, straight through their masks.
    """

    def __init__(
        self,
        model: nn.Module,
        groups: Sequence[ChannelGroup],
        masks: Mapping[str, Tensor],
        *,
        learn_on: bool,
    ) -> None:
        read = _partial(consumer_gates(groups, masks))
        made = _partial(producer_gates(groups, masks)) if learn_on else {}
        self.model, self.learn_on = model, learn_on
        self._layers: list[tuple[Convolution | nn.Linear, _Layer]] = []
        for name in {**read, **made}:
            module = model.get_submodule(name)
            assert isinstance(module, Convolution | nn.Linear), "these have filters"
            if isinstance(module, Convolution) and is_depthwise(module):
                continue  # a depthwise convolution reads nothing but channels of its own unit
            weight = filter_weights(module)
            inputs, outputs = (
                mask[name].to(weight) if name in mask else None for mask in (read, made)
            )
            layer = _Layer(
                # Groups of a convolution have equal masks.
                inputs=_mask(inputs, (1, weight.shape[1]), module),
                outputs=_mask(outputs, (len(weight), 1), module),
                learn_on=learn_on,
                settings=_settings(module),
            )
            self._layers.append((module, layer))

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Mask the model inside a ``with`` block."""
        own = [module.__dict__.get("forward") for module, _ in self._layers]
        for module, layer in self._layers:
            module.forward = partial(_forward, module, layer)  # type: ignore[method-assign]
        try:
            yield
        finally:
            for (module, _), forward in zip(self._layers, own, strict=True):
                del module.forward
                if forward is not None:
                    module.forward = forward  # type: ignore[method-assign]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layer:
    """Masks of a convolution or linear layer.

    A mask of input channels is applied to the weights, so nothing of the size of activations is
    computed or stored.

    Parameters
    ----------
    inputs : Tensor, optional
        Mask of input channels, in a shape that multiplies the weights as they are stored.
    outputs : Tensor, optional
        Mask of its filters, as `inputs`.
    learn_on : bool
        The input gets the gradient that it would have without its mask, from kept filters only;
        otherwise the usual gradient.
    settings : tuple
        Stride, padding, dilation, whether it is transposed, output padding and groups; none for a
        linear layer.
    """

    inputs: Tensor | None
    outputs: Tensor | None
    learn_on: bool
    settings: tuple[Any, ...]


def _partial(masks: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: mask for name, mask in masks.items() if not mask.all()}


def _mask(mask: Tensor | None, shape: tuple[int, int], module: nn.Module) -> Tensor | None:
    """Bring a mask of channels or of filters to the order of the stored weights."""
    if mask is None:
        return None
    weight = filter_weights(module)
    channels = mask[: shape[0] * shape[1]].reshape(*shape, *[1] * (weight.ndim - 2))
    if isinstance(module, Transposed):
        return as_stored(channels.expand(*weight.shape[:2], *channels.shape[2:]), module)
    return channels


def _settings(module: Convolution | nn.Linear) -> tuple[Any, ...]:
    if isinstance(module, nn.Linear):
        return ()
    padding = (0,) * len(module.kernel_size) if _pads_by_itself(module) else module.padding
    transposed, added = isinstance(module, Transposed), module.output_padding
    return module.stride, padding, module.dilation, transposed, added, module.groups


def _pads_by_itself(module: Convolution) -> bool:
    """Whether padding needs a separate step, because it is not a number of zeros."""
    return isinstance(module.padding, str) or module.padding_mode != "zeros"


def _forward(module: Convolution | nn.Linear, layer: _Layer, given: Tensor) -> Tensor:
    if isinstance(module, Convolution) and _pads_by_itself(module):
        mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
        given = F.pad(given, module._reversed_padding_repeated_twice, mode)
    result: Tensor = _Produce.apply(  # type: ignore[no-untyped-call]  # torch does not annotate it
        given, module.weight, module.bias, layer
    )
    return result


class _Produce(torch.autograd.Function):
    """A convolution, or a linear layer, with masks."""

    @staticmethod
    def forward(
        ctx: Any, given: Tensor, weight: Tensor, bias: Tensor | None, layer: _Layer
    ) -> Tensor:
        ctx.save_for_backward(given, weight)
        ctx.layer = layer
        read = weight if layer.inputs is None else weight * layer.inputs
        if layer.settings:
            return _convolve(given, read, bias, layer.settings)
        return F.linear(given, read, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        given, weight = ctx.saved_tensors
        layer: _Layer = ctx.layer
        mask = layer.outputs if layer.learn_on else layer.inputs
        visible = weight if mask is None else weight * mask
        # With mixed precision, gradient and parameters have different types.
        operands = gradient, given.to(gradient.dtype), visible.to(gradient.dtype)
        to_input, to_weight, to_bias = _backward(
            *operands, layer.settings, ctx.needs_input_grad[:3]
        )
        if to_weight is not None and layer.inputs is not None:
            to_weight = to_weight * layer.inputs
        results = zip((to_input, to_weight, to_bias), (given, weight, weight), strict=True)
        return *(None if g is None else g.to(like.dtype) for g, like in results), None


def _convolve(
    given: Tensor, weight: Tensor, bias: Tensor | None, settings: tuple[Any, ...]
) -> Tensor:
    """Convolve by the functions that mixed precision knows; it does not know torch.convolution."""
    stride, padding, dilation, transposed, added, groups = settings
    if transposed:
        spread = F.conv_transpose1d if weight.ndim == 3 else F.conv_transpose2d
        return spread(given, weight, bias, stride, padding, added, groups, dilation)
    convolve = F.conv1d if weight.ndim == 3 else F.conv2d
    return convolve(given, weight, bias, stride, padding, dilation, groups)


def _backward(
    gradient: Tensor,
    given: Tensor,
    weight: Tensor,
    settings: tuple[Any, ...],
    needs: Sequence[bool],
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Compute gradients of input, weights and bias; only that of the input reads the weights."""
    if settings:
        result: tuple[Tensor | None, Tensor | None, Tensor | None] = (
            torch.ops.aten.convolution_backward(
                *(gradient, given, weight, [gradient.shape[1]], *settings, list(needs))
            )
        )
        return result
    return (
        gradient @ weight if needs[0] else None,
        gradient.T @ given if needs[1] else None,
        gradient.sum(0) if needs[2] else None,
    )
