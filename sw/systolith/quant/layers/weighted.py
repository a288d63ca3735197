"""Convolution and linear layers of a quantized model."""

from dataclasses import dataclass
from typing import NotRequired, TypedDict, Unpack

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from systolith.network import Padding, Pattern
from systolith.quant.layers.requantizing import Activation, Requantizing, Scaling, pad
from systolith.quant.steps.lsq import round_half_up
from systolith.quant.steps.quantizers import ActQuantizer, WeightQuantizer

__all__ = ["QuantConv2d", "QuantLinear", "WeightIntegers", "WeightedSettings"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WeightIntegers:
    """Integers of a convolution or linear layer.

    Parameters
    ----------
    weight : Tensor of int64
        Shape of the layer's weight; 0 where pruned.
    bias : Tensor of int64, shape (F,)
        At accumulator scale.
    scaling : Scaling
        From accumulator to output.
    """

    weight: Tensor
    bias: Tensor
    scaling: Scaling


class WeightedSettings(TypedDict):
    """Arguments that convolutions and linear layers share."""

    activation: Activation
    weight_quantizer: WeightQuantizer
    output: ActQuantizer
    mask: NotRequired[Tensor | None]
    """Of bool, in the shape of the weight, frozen; True keeps. Default: all are kept."""
    pattern: NotRequired[Pattern | None]
    """Pattern of the mask. Default: dense."""
    slope: NotRequired[Tensor | None]
    """Of negative values, shape (channels,) or (1,), with :attr:`Activation.SLOPED`; an
    ``nn.Parameter`` is trained."""


class _Weighted(Requantizing):
    """Base of convolutions and linear layers."""

    mask: Tensor

    def __init__(self, layer: nn.Conv2d | nn.Linear, **settings: Unpack[WeightedSettings]) -> None:
        super().__init__(settings["activation"], settings["output"], settings.get("slope"))
        weight, bias, mask = layer.weight, _bias(layer), settings.get("mask")
        # What was frozen, such as the weights of a fixed shortcut, stays so.
        own, added = (tensor.detach().float().clone() for tensor in (weight, bias))
        self.weight = nn.Parameter(own, requires_grad=weight.requires_grad)
        self.bias = nn.Parameter(added, requires_grad=bias.requires_grad)
        mask = torch.ones_like(weight, dtype=torch.bool) if mask is None else mask
        self.register_buffer("mask", mask.detach().clone())
        self._counted: tuple[Tensor | None, int, int] = (None, 0, 0)
        self.pattern = settings.get("pattern") or Pattern()
        self.weight_quantizer = settings["weight_quantizer"]
        if not (weight.requires_grad or bias.requires_grad):
            self.weight_quantizer.requires_grad_(False)

    def masked_weight(self) -> Tensor:
        """Weights, 0 where pruned."""
        return self.weight if self.kept == self.mask.numel() else self.weight * self.mask

    @property
    def kept(self) -> int:
        """Number of weights that are not pruned; counted when the mask has changed."""
        mask, version, kept = self._counted
        if mask is not self.mask or version != self.mask._version:
            kept = int(self.mask.sum())
            self._counted = self.mask, self.mask._version, kept
        return kept

    def quantized_weight(self) -> Tensor:
        """Fake-quantized weights, 0 where pruned."""
        quantized: Tensor = self.weight_quantizer(self.masked_weight(), self.kept)
        return quantized

    def quantized_bias(self, input_step: Tensor) -> Tensor:
        """Biases, rounded to accumulator units; gradients pass straight through.

        The unit of a channel is the step of the input, shape (), times that of its weights.
        """
        unit = self._acc_step(input_step)
        rounded = (round_half_up(self.bias.detach().double() / unit) * unit).to(self.bias.dtype)
        return self.bias + (rounded - self.bias.detach())

    def integers(self, input_step: Tensor) -> WeightIntegers:
        """Compute the integers for an input with step `input_step`, shape ()."""
        unit = self._acc_step(input_step)
        return WeightIntegers(
            weight=self.weight_quantizer.integers(self.masked_weight()),
            bias=round_half_up(self.bias.detach().double() / unit).to(torch.int64),
            scaling=self.scaling(unit),
        )

    def _acc_step(self, input_step: Tensor) -> Tensor:
        return input_step.detach().double() * self.weight_quantizer.step.detach().double()

    def accumulate(self, x: Tensor, input_step: Tensor) -> Tensor:
        """Compute accumulators of x, which has step `input_step`, before the activation."""
        return self.apply_weights(x, self.quantized_weight(), self.quantized_bias(input_step))

    def forward(self, x: Tensor, input_step: Tensor) -> Tensor:
        """Fake-quantized output."""
        return self.finish(self.accumulate(x, input_step))

    def apply_weights(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Multiply inputs with any weights of this layer's shape."""
        raise NotImplementedError

    def apply_integers(self, x: Tensor, weight: Tensor) -> Tensor:
        """Multiply inputs with weights of :meth:`integers`."""
        return self.apply_weights(x, weight, None)


class QuantConv2d(_Weighted):
    """Convolution with batch norm folded in, activation and output quantizer.

    Parameters
    ----------
    conv : nn.Conv2d
        Batch norm already folded. Its own padding is ignored.
    padding : Padding
        Rows and columns of zeros at top, bottom, left, right.
    settings
        See :class:`WeightedSettings`.
    """

    def __init__(
        self, conv: nn.Conv2d, *, padding: Padding, **settings: Unpack[WeightedSettings]
    ) -> None:
        super().__init__(conv, **settings)
        self.stride = (conv.stride[0], conv.stride[1])
        self.padding = padding
        self.dilation = (conv.dilation[0], conv.dilation[1])
        self.groups = conv.groups

    def spread(self, weight: Tensor) -> Tensor:
        """Bring values of this layer's weights, (F, ...), to the shape that is convolved with."""
        return weight

    def spread_filters(self, values: Tensor) -> Tensor:
        """Bring one value of each filter, (F,), to the filters of :meth:`spread`."""
        return values

    def network_mask(self) -> tuple[Pattern, Tensor]:
        """Pattern and mask of the weights of :meth:`integers`."""
        return self.pattern, self.mask

    def network_pattern(self, pattern: Pattern) -> Pattern:
        """Convert a pattern of this layer's weights to that of the weights of :meth:`integers`.

        Raises
        ------
        NetworkError
            If there is no such pattern.
        """
        return pattern

    def apply_weights(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Convolve with any weights of this layer's shape; (N, C, H, W) to (N, F, Ho, Wo)."""
        top, bottom, left, right = self.padding
        around = (top, left)
        if top != bottom or left != right:
            x, around = pad(x, self.padding), (0, 0)
        return F.conv2d(x, weight, bias, self.stride, around, self.dilation, self.groups)


class QuantLinear(_Weighted):
    """Linear layer with activation and output quantizer.

    Parameters
    ----------
    linear : nn.Linear
        Batch norm already folded.
    settings
        See :class:`WeightedSettings`.
    """

    def __init__(self, linear: nn.Linear, **settings: Unpack[WeightedSettings]) -> None:
        super().__init__(linear, **settings)

    def apply_weights(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Multiply with any weights of this layer's shape; (N, I) to (N, O)."""
        return F.linear(x, weight, bias)


def _bias(layer: nn.Conv2d | nn.Linear) -> Tensor:
    if layer.bias is not None:
        return layer.bias
    return layer.weight.new_zeros(len(layer.weight), requires_grad=layer.weight.requires_grad)
