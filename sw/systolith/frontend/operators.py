"""Integer layers as PyTorch modules: int64 in, int64 out, exact.

They use PyTorch's own operators and share no code with :mod:`systolith.network.golden`, so that the
two can be compared.

Convolutions run in floats, because PyTorch has fast convolutions for floats only. The result is
exact: all partial sums are integers below 2**53 (accumulators have at most 47 bits), which float64
holds in any order of addition. A back end may choose a transform (Winograd, FFT) whose intermediate
values are not integers; its error is about 2**-50 of the sum, and rounding to the nearest integer
removes it. On CPUs, where PyTorch convolves directly, float32 is exact and several times as fast
while no partial sum can reach 2**24.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from systolith.frontend.moving import surround
from systolith.network import ActType, Overflow, Padding, Rounding
from systolith.quant import common_multiple, count_areas

__all__ = [
    "IntegerAdd",
    "IntegerArgMax",
    "IntegerAvgPool2d",
    "IntegerConv2d",
    "IntegerLinear",
    "IntegerMaxPool2d",
    "IntegerMultiply",
    "IntegerRequantizer",
    "IntegerTable",
]

FLOAT32_INTEGERS = 1 << 24
"""float32 holds every integer up to this one."""
TFLITE_SHIFT = 31
"""Bits that the first of TFLite's two shifts drops."""


class IntegerRequantizer(nn.Module):
    """Requantization of accumulators to outputs.

    Parameters
    ----------
    multiplier, shift : Tensor of int64, shape (channels,) or (1,)
        Scale of each channel is ``multiplier / 2**shift``.
    output : ActType
        Type of the result.
    clamp : pair of int, optional
        Narrower range.
    rounding, overflow
        As in :class:`systolith.network.Requantize`.
    offset : Tensor of int64, shape (channels,) or (1,), optional
        Added to the product.
    negative : Tensor of int64, shape (channels,) or (1,), optional
        Multipliers of negative accumulators.
    thresholds : Tensor of int64, shape (channels, levels) or (1, levels), optional
        Counted in place of scaling.
    """

    multiplier: Tensor
    shift: Tensor
    offset: Tensor | None
    negative: Tensor | None
    thresholds: Tensor | None

    def __init__(
        self,
        multiplier: Tensor,
        shift: Tensor,
        output: ActType,
        clamp: tuple[int, int] | None = None,
        rounding: Rounding = Rounding.HALF_UP,
        overflow: Overflow = Overflow.SATURATE,
        offset: Tensor | None = None,
        negative: Tensor | None = None,
        thresholds: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.register_buffer("negative", None if negative is None else negative.to(torch.int64))
        self.register_buffer("multiplier", multiplier.to(torch.int64))
        self.register_buffer("shift", shift.to(torch.int64))
        self.register_buffer("offset", None if offset is None else offset.to(torch.int64))
        self.register_buffer("thresholds", thresholds)
        self.output = output
        self.clamp = clamp
        self.rounding = rounding
        self.overflow = overflow

    def forward(self, acc: Tensor) -> Tensor:
        """Compute outputs of accumulators of shape (N, channels, ...)."""
        channels = (-1, *[1] * (acc.ndim - 2))
        if self.thresholds is not None:
            total = torch.full_like(acc, self.output.low)
            for level in self.thresholds.unbind(1):
                total += acc >= level.reshape(channels)
            return total
        # At most 63 bits, and 64 with an offset.
        product = acc * self.multiplier.reshape(channels)
        if self.negative is not None:
            product = torch.where(acc < 0, acc * self.negative.reshape(channels), product)
        if self.offset is not None:
            product = product + self.offset.reshape(channels)
        shift = self.shift.reshape(channels)
        scaled = _shift_right(product, shift, self.rounding) + self.output.zero_point
        if self.overflow is Overflow.WRAP:
            modulus = 1 << self.output.bits
            scaled = torch.remainder(scaled - self.output.low, modulus) + self.output.low
        scaled = scaled.clamp(self.output.low, self.output.high)
        return scaled if self.clamp is None else scaled.clamp(*self.clamp)


class IntegerConv2d(nn.Module):
    """Convolution; `zero_point` is that of the input."""

    weight: Tensor
    bias: Tensor

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor,
        requantizer: IntegerRequantizer,
        *,
        stride: tuple[int, int],
        padding: Padding,
        groups: int,
        dilation: tuple[int, int] = (1, 1),
        zero_point: int = 0,
    ) -> None:
        super().__init__()
        self.register_buffer("weight", weight.double())
        self.register_buffer("bias", bias.to(torch.int64))
        self.requantizer = requantizer
        self.stride = stride
        self.padding = padding
        self.groups = groups
        self.dilation = dilation
        self.zero_point = zero_point

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, F, Ho, Wo)."""
        centred = surround(x - self.zero_point, self.padding, 0)
        dtype = self._exact_type(centred)
        sums = F.conv2d(
            centred.to(dtype),
            self.weight.to(dtype),
            stride=self.stride,
            dilation=self.dilation,
            groups=self.groups,
        )
        acc = _as_integers(sums) + self.bias[:, None, None]
        requantized: Tensor = self.requantizer(acc)
        return requantized

    def _exact_type(self, centred: Tensor) -> torch.dtype:
        """Choose the fastest float type that holds every partial sum of these activations."""
        if centred.device.type != "cpu" or not centred.numel():
            return torch.float64
        largest = float(centred.abs().amax()) * float(self.weight.abs().flatten(1).sum(1).amax())
        return torch.float32 if largest < FLOAT32_INTEGERS else torch.float64


class IntegerLinear(nn.Module):
    """Linear layer; `zero_point` is that of the input."""

    weight: Tensor
    bias: Tensor

    def __init__(
        self, weight: Tensor, bias: Tensor, requantizer: IntegerRequantizer, *, zero_point: int = 0
    ) -> None:
        super().__init__()
        self.register_buffer("weight", weight.double())
        self.register_buffer("bias", bias.to(torch.int64))
        self.requantizer = requantizer
        self.zero_point = zero_point

    def forward(self, x: Tensor) -> Tensor:
        """(N, I) to (N, O)."""
        sums = F.linear((x - self.zero_point).double(), self.weight)
        requantized: Tensor = self.requantizer(_as_integers(sums) + self.bias)
        return requantized


class IntegerAdd(nn.Module):
    """Residual addition of two inputs, each with its multiplier and zero point.

    With `shifts`, each is also shifted left by `left_shift`, then right, and rounded.
    """

    def __init__(
        self,
        multipliers: tuple[int, int],
        requantizer: IntegerRequantizer,
        *,
        zero_points: tuple[int, int] = (0, 0),
        left_shift: int = 0,
        shifts: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        self.multipliers = multipliers
        self.left_shift = left_shift
        self.shifts = shifts
        self.requantizer = requantizer
        self.zero_points = zero_points

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Two tensors of equal shape (N, ...)."""
        a, b = a - self.zero_points[0], b - self.zero_points[1]
        if self.shifts is None:
            acc = torch.add(self.multipliers[0] * a, b, alpha=self.multipliers[1])
        else:
            factors = [multiplier << self.left_shift for multiplier in self.multipliers]
            shifts = torch.tensor(self.shifts, device=a.device)
            rounding = self.requantizer.rounding
            acc = _shift_right(a * factors[0], shifts[0], rounding)
            acc = acc + _shift_right(b * factors[1], shifts[1], rounding)
        requantized: Tensor = self.requantizer(acc)
        return requantized


class IntegerMultiply(nn.Module):
    """Product of two inputs, each with its zero point."""

    def __init__(
        self, requantizer: IntegerRequantizer, *, zero_points: tuple[int, int] = (0, 0)
    ) -> None:
        super().__init__()
        self.requantizer = requantizer
        self.zero_points = zero_points

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Two tensors of equal shape (N, ...)."""
        products = torch.mul(a - self.zero_points[0], b - self.zero_points[1])
        requantized: Tensor = self.requantizer(products)
        return requantized


class IntegerAvgPool2d(nn.Module):
    """Average pool; `kernel_size` None is global, and `counted` the padding in the area."""

    def __init__(
        self,
        requantizer: IntegerRequantizer,
        *,
        kernel_size: tuple[int, int] | None,
        stride: tuple[int, int],
        padding: Padding,
        counted: Padding | None = None,
        zero_point: int = 0,
    ) -> None:
        super().__init__()
        self.requantizer = requantizer
        self.kernel_size = kernel_size
        self.stride = stride
        self.padding = padding
        self.counted = counted
        self.zero_point = zero_point

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, Ho, Wo)."""
        kernel = self.kernel_size or (x.shape[2], x.shape[3])
        centred = surround((x - self.zero_point).double(), self.padding, 0)
        # divisor_override=1 turns the average into the sum.
        sums = _as_integers(F.avg_pool2d(centred, kernel, self.stride, divisor_override=1))
        if self.counted is not None:
            areas = count_areas(x.shape[2:], kernel, self.stride, self.padding, self.counted)
            areas = areas.to(x.device)
            sums = sums * (common_multiple(areas) // areas)
        requantized: Tensor = self.requantizer(sums)
        return requantized


class IntegerMaxPool2d(nn.Module):
    """Max pool; padding never wins."""

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
        """(N, C, H, W) to (N, C, Ho, Wo)."""
        padded = surround(x.double(), self.padding, -torch.inf)
        greatest = F.max_pool2d(padded, self.kernel_size, self.stride, dilation=self.dilation)
        return greatest.to(torch.int64)


class IntegerTable(nn.Module):
    """Function of one activation; `low` is the least integer of the input's type."""

    values: Tensor

    def __init__(self, values: Tensor, low: int) -> None:
        super().__init__()
        self.register_buffer("values", values.to(torch.int64))
        self.low = low

    def forward(self, x: Tensor) -> Tensor:
        """(N, ...) to (N, ...)."""
        return torch.take(self.values, x - self.low)


class IntegerArgMax(nn.Module):
    """Number of the first greatest channel."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, ...) to (N, 1, ...)."""
        return torch.argmax(x, dim=1, keepdim=True)


def _shift_right(product: Tensor, shift: Tensor, rounding: Rounding) -> Tensor:
    """Round ``product / 2**shift``."""
    half = torch.ones_like(shift).bitwise_left_shift(shift).bitwise_right_shift(1)
    match rounding:
        # Arithmetic shifts round down, as floor division would, several times as fast.
        case Rounding.FLOOR:
            return product.bitwise_right_shift(shift)
        case Rounding.HALF_UP:
            return (product + half).bitwise_right_shift(shift)
        case Rounding.HALF_EVEN:
            # Half less one rounds a tie down; the odd bit, if set, rounds it up to even.
            odd = product.bitwise_right_shift(shift).bitwise_and(1)
            added = torch.where(shift > 0, half - 1 + odd, 0)
            return (product + added).bitwise_right_shift(shift)
        case Rounding.TFLITE:
            first, rest = shift.clamp(max=TFLITE_SHIFT), (shift - TFLITE_SHIFT).clamp(min=0)
            once = _shift_right(product, first, Rounding.HALF_UP)
            # The magnitude rounds half up, so that ties move away from zero.
            size = _shift_right(once.abs(), rest, Rounding.HALF_UP)
            return torch.where(once < 0, -size, size)


def _as_integers(sums: Tensor) -> Tensor:
    return sums.round().to(torch.int64)
