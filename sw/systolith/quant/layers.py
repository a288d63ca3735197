"""Layers of a quantized model: fake-quantized in training, integers on request.

Each holds the quantizer of its own output; max pools and flattening pass that of their input on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from systolith.network import ActType, Padding, Pattern
from systolith.quant.fixed_point import FixedPoint, fixed_point
from systolith.quant.lsq import quantize
from systolith.quant.quantizers import ActQuantizer, WeightQuantizer

__all__ = [
    "Activation",
    "QuantAdd",
    "QuantAvgPool2d",
    "QuantConv2d",
    "QuantFlatten",
    "QuantLayer",
    "QuantLinear",
    "QuantMaxPool2d",
    "Scaling",
    "WeightIntegers",
]

RELU6_LIMIT = 6.0


class Activation(Enum):
    """The nonlinearity that a layer ends with."""

    NONE = "none"
    RELU = "relu"
    RELU6 = "relu6"

    def __call__(self, x: Tensor) -> Tensor:
        """Apply it to a tensor of any shape."""
        match self:
            case Activation.NONE:
                return x
            case Activation.RELU:
                return F.relu(x)
            case Activation.RELU6:
                return F.relu6(x)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scaling:
    """From accumulator to output: one multiplier per channel (or one), one shift, one clamp.

    ``clamp(((acc * multiplier + 2**(shift-1)) >> shift), *clamp)``, then saturated to `output`.
    """

    fixed_point: FixedPoint
    output: ActType
    clamp: tuple[int, int] | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WeightIntegers:
    """What a convolution or linear layer computes with.

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


class _Requantizing(nn.Module):
    """What layers with an accumulator have in common: an activation and an output quantizer."""

    def __init__(self, activation: Activation, output: ActQuantizer) -> None:
        super().__init__()
        self.activation = activation
        self.output = output

    def finish(self, acc: Tensor) -> Tensor:
        """Activation and output quantizer."""
        quantized: Tensor = self.output(self.activation(acc))
        return quantized

    def scaling(self, acc_step: Tensor) -> Scaling:
        """Fixed-point form of accumulator steps, float64 of shape (channels,) or (1,)."""
        step = self.output.step.detach()
        clamp = None
        if self.activation is Activation.RELU6:
            limit = quantize(step.new_tensor(RELU6_LIMIT), step, 0, self.output.act_type.high)
            clamp = (0, int(limit))
        return Scaling(
            fixed_point=fixed_point(acc_step / step.double()),
            output=self.output.act_type,
            clamp=clamp,
        )


class _Weighted(_Requantizing):
    """What convolutions and linear layers have in common."""

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
        self.weight = nn.Parameter(weight.detach().clone())
        self.bias = nn.Parameter(bias.detach().clone())
        mask = torch.ones_like(weight, dtype=torch.bool) if mask is None else mask
        self.register_buffer("mask", mask.detach().clone())
        self.pattern = pattern or Pattern()
        self.weight_quantizer = weight_quantizer
        self.kept = int(mask.sum())

    def quantized_weight(self) -> Tensor:
        """Fake-quantized weights, 0 where pruned."""
        quantized: Tensor = self.weight_quantizer(self.weight * self.mask, self.kept)
        return quantized

    def integers(self, input_step: Tensor) -> WeightIntegers:
        """Integers for an input whose unit stands for `input_step`, shape ()."""
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
        Without dilation, zero padding; batch norm already folded.
    stride, padding, groups
        As in :class:`systolith.network.Conv2d`.
    activation, weight_quantizer, output
        Parts.
    mask : Tensor of bool, shape of the weight, optional
        Frozen; True keeps.
    pattern : Pattern, optional
        That the mask conforms to. Default: dense.
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
        return F.conv2d(_pad(x, self.padding), weight, self.bias, self.stride, groups=self.groups)

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


class QuantAdd(_Requantizing):
    """Residual addition of two tensors with their own steps."""

    def accumulate(self, a: Tensor, b: Tensor) -> Tensor:
        """Sum of two tensors of equal shape."""
        return a + b

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Fake-quantized output."""
        return self.finish(self.accumulate(a, b))

    def integers(self, input_steps: Sequence[Tensor]) -> tuple[tuple[int, int], Scaling]:
        """Multipliers that bring both inputs to one scale, and from there to the output.

        Both ratios to the output's step share one shift, so the sum needs no multiplier of its own.
        """
        steps = torch.stack([step.detach().double() for step in input_steps])
        scaling = self.scaling(steps)
        first, second = (max(int(m), 1) for m in scaling.fixed_point.multiplier)
        shift_only = FixedPoint(multiplier=torch.ones(1).long(), shift=scaling.fixed_point.shift)
        return (first, second), Scaling(
            fixed_point=shift_only, output=scaling.output, clamp=scaling.clamp
        )


class QuantAvgPool2d(_Requantizing):
    """Average pool; `kernel_size` None is global. Padding counts as zero."""

    def __init__(
        self,
        *,
        kernel_size: tuple[int, int] | None,
        stride: tuple[int, int],
        padding: Padding,
        activation: Activation,
        output: ActQuantizer,
    ) -> None:
        super().__init__(activation, output)
        self.kernel_size = kernel_size
        self.stride = stride
        self.padding = padding

    def accumulate(self, x: Tensor) -> Tensor:
        """Average windows; (N, C, H, W) to (N, C, Ho, Wo)."""
        kernel = self.kernel_size or (x.shape[2], x.shape[3])
        return F.avg_pool2d(_pad(x, self.padding), kernel, self.stride)

    def forward(self, x: Tensor) -> Tensor:
        """Fake-quantized output."""
        return self.finish(self.accumulate(x))

    def integers(self, input_step: Tensor, input_shape: Sequence[int]) -> Scaling:
        """Scaling of the windows' sums, for an input (C, H, W)."""
        height, width = self.kernel_size or (input_shape[1], input_shape[2])
        return self.scaling(input_step.detach().double().reshape(1) / (height * width))


class QuantMaxPool2d(nn.Module):
    """Max pool of what is already quantized. Padding never wins."""

    def __init__(
        self, *, kernel_size: tuple[int, int], stride: tuple[int, int], padding: Padding
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = stride
        self.padding = padding

    def forward(self, x: Tensor) -> Tensor:
        """Maximum of windows; (N, C, H, W) to (N, C, Ho, Wo)."""
        return F.max_pool2d(_pad(x, self.padding, -torch.inf), self.kernel_size, self.stride)


class QuantFlatten(nn.Module):
    """Images as vectors, channels outermost."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C*H*W)."""
        return x.flatten(1)


QuantLayer = QuantConv2d | QuantLinear | QuantAdd | QuantAvgPool2d | QuantMaxPool2d | QuantFlatten


def _bias(layer: nn.Conv2d | nn.Linear) -> Tensor:
    return layer.weight.new_zeros(len(layer.weight)) if layer.bias is None else layer.bias


def _pad(x: Tensor, padding: Padding, value: float = 0.0) -> Tensor:
    top, bottom, left, right = padding
    return F.pad(x, (left, right, top, bottom), value=value) if any(padding) else x
