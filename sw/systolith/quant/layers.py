"""Layers of a quantized model: fake-quantized in training, integers on request.

Each layer owns the quantizer of its output; max pools and flattening use that of their input.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from systolith.network import ActType, Padding
from systolith.quant.fixed_point import FixedPoint
from systolith.quant.quantizers import ActQuantizer
from systolith.quant.requantizing import Activation, Requantizing, Scaling, make_ties_exact, pad
from systolith.quant.weighted import QuantConv2d, QuantLinear

__all__ = ["QuantAdd", "QuantAvgPool2d", "QuantFlatten", "QuantLayer", "QuantMaxPool2d"]

SMALLEST_RATIO = 2.0**-15


class QuantAdd(Requantizing):
    """Residual addition of two tensors with their own steps."""

    def accumulate(self, a: Tensor, b: Tensor) -> Tensor:
        """Sum of two tensors of equal shape."""
        return a + b

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Fake-quantized output."""
        return self.finish(self.accumulate(a, b))

    def integers(self, input_steps: Sequence[Tensor]) -> tuple[tuple[int, int], Scaling]:
        """Compute the multipliers of both inputs, and the scaling of their sum.

        Both ratios to the output's step share one shift, so the sum needs no multiplier of its own.
        Ratios above 65535 become 65535; they occur only if calibration saw no sum except 0.
        """
        steps = torch.stack([step.detach().double() for step in input_steps])
        # Both multipliers are at least 1 before common factors of two are removed. Between steps so
        # far apart, the finer input is below a hundredth of the other's unit.
        steps = steps.clamp_min(float(steps.max()) * SMALLEST_RATIO)
        scaling = self.scaling(steps)
        first, second = (max(int(m), 1) for m in scaling.fixed_point.multiplier)
        shift_only = FixedPoint(multiplier=torch.ones(1).long(), shift=scaling.fixed_point.shift)
        return (first, second), Scaling(
            fixed_point=shift_only, output=scaling.output, clamp=scaling.clamp
        )


class QuantAvgPool2d(Requantizing):
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
        return F.avg_pool2d(pad(x, self.padding), kernel, self.stride)

    def forward(self, x: Tensor) -> Tensor:
        """Fake-quantized output."""
        return self.finish(self.accumulate(x))

    def integers(
        self, input_step: Tensor, input_shape: Sequence[int], input_type: ActType
    ) -> Scaling:
        """Scaling of the windows' sums, for an input (C, H, W) of `input_type`.

        Averages halfway between two integers are rounded upwards, as in floats: see
        :func:`make_ties_exact`.
        """
        height, width = self.kernel_size or (input_shape[1], input_shape[2])
        ratio = input_step.detach().double() / self.output.step.detach().double()
        scaling = self.scaling(input_step.detach().double().reshape(1) / (height * width))
        return make_ties_exact(scaling, float(ratio), height * width, input_type)


class QuantMaxPool2d(nn.Module):
    """Max pool of quantized values. Padding never wins."""

    def __init__(
        self,
        *,
        kernel_size: tuple[int, int],
        stride: tuple[int, int],
        padding: Padding,
        dilation: tuple[int, int] = (1, 1),
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = stride
        self.padding = padding
        self.dilation = dilation

    def forward(self, x: Tensor) -> Tensor:
        """Maximum of windows; (N, C, H, W) to (N, C, Ho, Wo)."""
        padded = pad(x, self.padding, -torch.inf)
        return F.max_pool2d(padded, self.kernel_size, self.stride, dilation=self.dilation)


class QuantFlatten(nn.Module):
    """Images as vectors, channels outermost."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C*H*W)."""
        return x.flatten(1)


QuantLayer = QuantConv2d | QuantLinear | QuantAdd | QuantAvgPool2d | QuantMaxPool2d | QuantFlatten
