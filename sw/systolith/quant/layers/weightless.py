"""Layers without weights.

Each layer with an accumulator owns the quantizer of its output; layers that are joined may share
one. Other layers use that of their input.
"""

from collections.abc import Sequence
from dataclasses import replace
from math import lcm

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from systolith.network import ActType, Padding
from systolith.quant.layers.requantizing import (
    Activation,
    Requantizing,
    Scaling,
    extend,
    make_ties_exact,
    pad,
)
from systolith.quant.layers.weighted import QuantConv2d, QuantLinear
from systolith.quant.steps.fixed_point import FixedPoint, to_fixed_point
from systolith.quant.steps.quantizers import ActQuantizer

__all__ = [
    "QuantAdd",
    "QuantAvgPool2d",
    "QuantComputing",
    "QuantConcat",
    "QuantDepthToSpace",
    "QuantFlatten",
    "QuantLayer",
    "QuantMaxPool2d",
    "QuantMultiply",
    "QuantPad2d",
    "QuantSelectChannels",
    "QuantSpaceToDepth",
    "QuantTable",
    "QuantUpsample",
    "common_multiple",
    "count_areas",
]

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
        scaling = self.scaling(steps, sloped=False)
        first, second = (max(int(m), 1) for m in scaling.fixed_point.multiplier)
        shift_only = self._sloped(scaling.fixed_point.shift)
        return (first, second), Scaling(
            fixed_point=shift_only, output=scaling.output, clamp=scaling.clamp
        )

    def _sloped(self, shift: int) -> FixedPoint:
        """Shift sums; with a slope, multiply by a power of two or by a share of it."""
        if self.slope is None:
            return FixedPoint(multiplier=torch.ones(1).long(), shift=shift)
        slope = self.slope.detach().double()
        sloped = to_fixed_point(slope.new_ones(1), slope)
        return replace(sloped, shift=shift + sloped.shift)


class QuantMultiply(Requantizing):
    """Product of two tensors with their own steps."""

    def accumulate(self, a: Tensor, b: Tensor) -> Tensor:
        """Product of two tensors of equal shape."""
        return a * b

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Fake-quantized output."""
        return self.finish(self.accumulate(a, b))

    def integers(self, input_steps: Sequence[Tensor]) -> Scaling:
        """Compute the scaling of products: one ratio for all."""
        first, second = (step.detach().double() for step in input_steps)
        return self.scaling((first * second).reshape(1))


def count_areas(
    image: Sequence[int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: Padding,
    counted: Padding,
) -> Tensor:
    """Count the pixels of each window that are in the image or in its counted padding.

    Returns
    -------
    Tensor of int64, shape (Ho, Wo)
    """
    ones = pad(torch.ones(1, 1, *image, dtype=torch.float64), counted, 1.0)
    top, bottom, left, right = (added - part for added, part in zip(padding, counted, strict=True))
    around = pad(ones, (top, bottom, left, right))
    areas = F.avg_pool2d(around, kernel, stride, divisor_override=1)
    return areas[0, 0].round().to(torch.int64)


def common_multiple(areas: Tensor) -> int:
    """Compute the least common multiple of areas."""
    return lcm(*set(areas.flatten().tolist()))


class QuantAvgPool2d(Requantizing):
    """Average pool.

    Parameters
    ----------
    kernel_size : pair of int, optional
        None is global.
    stride, padding
        As in :class:`systolith.network.AvgPool2d`; padding is zeros.
    activation : Activation
    output : ActQuantizer
    counted : Padding, optional
        Padding in the area of a window; None counts all of it.
    divisor : int, optional
        Divides the sums of all windows in place of their areas.
    slope : Tensor, optional
        As in :class:`QuantConv2d`.
    """

    def __init__(
        self,
        *,
        kernel_size: tuple[int, int] | None,
        stride: tuple[int, int],
        padding: Padding,
        activation: Activation,
        output: ActQuantizer,
        counted: Padding | None = None,
        divisor: int | None = None,
        slope: Tensor | None = None,
    ) -> None:
        super().__init__(activation, output, slope)
        self.kernel_size = kernel_size
        self.stride = stride
        self.padding = padding
        self.counted = counted
        self.divisor = divisor

    def accumulate(self, x: Tensor) -> Tensor:
        """Average windows; (N, C, H, W) to (N, C, Ho, Wo)."""
        kernel = self.kernel_size or (x.shape[2], x.shape[3])
        padded, divisor = pad(x, self.padding), self.divisor
        if self.counted is None:
            return F.avg_pool2d(padded, kernel, self.stride, divisor_override=divisor)
        sums = F.avg_pool2d(padded, kernel, self.stride, divisor_override=1)
        return sums / self.areas(x.shape[2:]).to(x)

    def areas(self, image: Sequence[int]) -> Tensor:
        """Areas of all windows of an image (H, W), int64 of shape (Ho, Wo)."""
        height, width = image
        kernel, counted = self.kernel_size or (height, width), self.counted or self.padding
        return count_areas(image, kernel, self.stride, self.padding, counted)

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
        pixels = height * width
        if self.counted is not None:
            # Sums are multiplied to what windows of this area would have.
            pixels = common_multiple(self.areas(input_shape[1:]))
        divisor = self.divisor or pixels
        ratio = input_step.detach().double() / self.output.step.detach().double()
        scaling = self.scaling(input_step.detach().double().reshape(1) / divisor)
        return make_ties_exact(scaling, float(ratio), divisor, input_type, pixels=pixels)


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


class QuantPad2d(nn.Module):
    """Zeros or border pixels around quantized images; negative rows and columns are cut off."""

    def __init__(self, *, padding: Padding, edge: bool = False) -> None:
        super().__init__()
        self.padding = padding
        self.edge = edge

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, Ho, Wo)."""
        return extend(x, self.padding) if self.edge else pad(x, self.padding)


class QuantUpsample(nn.Module):
    """Rows and columns of quantized images, repeated."""

    def __init__(self, *, factors: tuple[int, int]) -> None:
        super().__init__()
        self.factors = factors

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W), or vectors (N, C), to (N, C, Ho, Wo)."""
        rows, columns = self.factors
        x = x.reshape(*x.shape[:2], *(x.shape[2:] or (1, 1)))
        return x.repeat_interleave(rows, 2).repeat_interleave(columns, 3)


class QuantFlatten(nn.Module):
    """Images as vectors, channels outermost."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C*H*W)."""
        return x.flatten(1)


class QuantConcat(nn.Module):
    """Channels of several tensors with one step, one tensor after the other."""

    def forward(self, *values: Tensor) -> Tensor:
        """(N, C, ...) each, to (N, sum of C, ...)."""
        return torch.cat(values, 1)


class QuantSelectChannels(nn.Module):
    """Some channels, in any order."""

    channels: Tensor

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.register_buffer("channels", torch.tensor(channels), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, ...) to (N, channels, ...)."""
        return x[:, self.channels]


class QuantDepthToSpace(nn.Module):
    """Channels as blocks of pixels; channels of one position are neighbours."""

    def __init__(self, block: tuple[int, int]) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        """(N, C*b*b, H, W) to (N, C, H*b, W*b)."""
        return depth_to_space(x, self.block)


class QuantSpaceToDepth(nn.Module):
    """Blocks of pixels as channels; channels of one position are neighbours."""

    def __init__(self, block: tuple[int, int]) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H*b, W*b) to (N, C*b*b, H, W)."""
        return space_to_depth(x, self.block)


def depth_to_space(x: Tensor, block: tuple[int, int]) -> Tensor:
    """Move channels ``(i*b + j)*C + c`` to row i and column j of blocks of b x b pixels."""
    images, channels, height, width = x.shape
    rows, columns = block
    left = channels // (rows * columns)
    parts = x.reshape(images, rows, columns, left, height, width)
    moved = parts.permute(0, 3, 4, 1, 5, 2)
    return moved.reshape(images, left, height * rows, width * columns)


def space_to_depth(x: Tensor, block: tuple[int, int]) -> Tensor:
    """Undo :func:`depth_to_space`."""
    images, channels, height, width = x.shape
    rows, columns = block
    parts = x.reshape(images, channels, height // rows, rows, width // columns, columns)
    moved = parts.permute(0, 3, 5, 1, 2, 4)
    return moved.reshape(images, channels * rows * columns, height // rows, width // columns)


class QuantTable(Requantizing):
    """Any function of each value. It reads quantized values, and has its own output quantizer.

    Parameters
    ----------
    function : nn.Module
        From a tensor of any shape to one of the same shape; its parameters are trained.
    output : ActQuantizer
    """

    def __init__(self, function: nn.Module, output: ActQuantizer) -> None:
        super().__init__(Activation.NONE, output)
        self.function = function

    def accumulate(self, x: Tensor) -> Tensor:
        """Apply the function; where it is not defined, the result is 0."""
        result: Tensor = self.function(x)
        return result.nan_to_num(0.0)

    def forward(self, x: Tensor) -> Tensor:
        """Fake-quantized output."""
        return self.finish(self.accumulate(x))

    def integers(self, input_step: Tensor, input_type: ActType) -> Tensor:
        """Integer of the output for each integer of the input's type, in ascending order.

        Returns
        -------
        Tensor of int64, shape (2**bits,)
        """
        step = input_step.detach()
        with torch.no_grad():
            codes = torch.arange(input_type.low, input_type.high + 1, device=step.device)
            return self.output.integers(self.accumulate(codes * step))


QuantMoving = QuantConcat | QuantSelectChannels | QuantDepthToSpace | QuantSpaceToDepth
QuantComputing = QuantAdd | QuantMultiply | QuantAvgPool2d | QuantTable
"""Layers without weights that own the quantizer of their output."""
QuantPassing = QuantMaxPool2d | QuantPad2d | QuantUpsample | QuantFlatten | QuantMoving
"""Layers whose results have the step of their inputs."""
QuantLayer = QuantConv2d | QuantLinear | QuantComputing | QuantPassing
