"""Convolution and linear layers of a quantized model."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from systolith.network import Padding, Pattern
from systolith.quant.quantizers import ActQuantizer, WeightQuantizer
from systolith.quant.requantizing import Activation, Requantizing, Scaling, pad

__all__ = ["QuantConv2d", "QuantLinear", "WeightIntegers"]


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


class _Weighted(Requantizing):
    """Base of convolutions and linear layers."""

    mask: Tensor

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor,
        *,
        activation: Activation,
        weight_quantizer: WeightQuantizer,
        output: ActQuantizer,
        mask: Tensor | None,
        pattern: Pattern | None,
    ) -> None:
        super().__init__(activation, output)
        # What was frozen, such as the weights of a fixed shortcut, stays so.
        own, added = (tensor.detach().float().clone() for tensor in (weight, bias))
        self.weight = nn.Parameter(own, requires_grad=weight.requires_grad)
        self.bias = nn.Parameter(added, requires_grad=bias.requires_grad)
        mask = torch.ones_like(weight, dtype=torch.bool) if mask is None else mask
        self.register_buffer("mask", mask.detach().clone())
        self.pattern = pattern or Pattern()
        self.weight_quantizer = weight_quantizer
        if not (weight.requires_grad or bias.requires_grad):
            weight_quantizer.requires_grad_(False)

    def quantized_weight(self) -> Tensor:
        """Fake-quantized weights, 0 where pruned."""
        kept = int(self.mask.sum())
        quantized: Tensor = self.weight_quantizer(self.weight * self.mask, kept)
        return quantized

    def integers(self, input_step: Tensor) -> WeightIntegers:
        """Compute the integers for an input with step `input_step`, shape ()."""
        acc_step = input_step.detach().double() * self.weight_quantizer.step.detach().double()
        bias = torch.floor(self.bias.detach().double() / acc_step + 0.5).to(torch.int64)
        return WeightIntegers(
            weight=self.weight_quantizer.integers(self.weight * self.mask),
            bias=bias,
            scaling=self.scaling(acc_step),
        )


class QuantConv2d(_Weighted):
    """Convolution with batch norm folded in, activation and output quantizer.

    Parameters
    ----------
    conv : nn.Conv2d
        Without dilation; batch norm already folded. Its own padding is ignored.
    padding : Padding
        Rows and columns of zeros at top, bottom, left, right.
    activation : Activation
    weight_quantizer : WeightQuantizer
    output : ActQuantizer
    mask : Tensor of bool, shape of the weight, optional
        Frozen; True keeps.
    pattern : Pattern, optional
        Pattern of the mask. Default: dense.
    """

    def __init__(
        self,
        conv: nn.Conv2d,
        *,
        padding: Padding,
        activation: Activation,
        weight_quantizer: WeightQuantizer,
        output: ActQuantizer,
        mask: Tensor | None = None,
        pattern: Pattern | None = None,
    ) -> None:
        super().__init__(
            conv.weight,
            _bias(conv),
            activation=activation,
            weight_quantizer=weight_quantizer,
            output=output,
            mask=mask,
            pattern=pattern,
        )
        self.stride = (conv.stride[0], conv.stride[1])
        self.padding = padding
        self.groups = conv.groups

    def accumulate(self, x: Tensor) -> Tensor:
        """Convolve with the fake-quantized weights; (N, C, H, W) to (N, F, Ho, Wo)."""
        weight = self.quantized_weight()
        return F.conv2d(pad(x, self.padding), weight, self.bias, self.stride, groups=self.groups)

    def forward(self, x: Tensor) -> Tensor:
        """Fake-quantized output."""
        return self.finish(self.accumulate(x))


class QuantLinear(_Weighted):
    """Linear layer with activation and output quantizer; parameters as :class:`QuantConv2d`."""

    def __init__(
        self,
        linear: nn.Linear,
        *,
        activation: Activation,
        weight_quantizer: WeightQuantizer,
        output: ActQuantizer,
        mask: Tensor | None = None,
        pattern: Pattern | None = None,
    ) -> None:
        super().__init__(
            linear.weight,
            _bias(linear),
            activation=activation,
            weight_quantizer=weight_quantizer,
            output=output,
            mask=mask,
            pattern=pattern,
        )

    def accumulate(self, x: Tensor) -> Tensor:
        """Multiply with the fake-quantized weights; (N, I) to (N, O)."""
        return F.linear(x, self.quantized_weight(), self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Fake-quantized output."""
        return self.finish(self.accumulate(x))


def _bias(layer: nn.Conv2d | nn.Linear) -> Tensor:
    if layer.bias is not None:
        return layer.bias
    return layer.weight.new_zeros(len(layer.weight), requires_grad=layer.weight.requires_grad)
