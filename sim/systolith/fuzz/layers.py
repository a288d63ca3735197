"""Draw layers of every kind, with any pattern that the engines compute and any integer types."""

from dataclasses import replace
from math import prod

import numpy as np

from systolith.fuzz.choices import Choices
from systolith.network import (
    ActType,
    Add,
    AllTaps,
    AvgPool2d,
    Conv2d,
    Granularity,
    IntArray,
    KOutOfN,
    Linear,
    MaxPool2d,
    Multiply,
    Overflow,
    Padding,
    Pattern,
    PerNeuron,
    Requantize,
    Rounding,
    Shape,
    Strided,
    Table,
    WeightShape,
    reach_of,
)

__all__ = [
    "draw_act_type",
    "draw_add",
    "draw_average",
    "draw_convolution",
    "draw_linear",
    "draw_maximum",
    "draw_product",
    "draw_table",
]

MOST_KERNEL, MOST_STRIDE, MOST_DILATION, MOST_FILTERS = 4, 3, 3, 8
MOST_PADDING = 3
MOST_WEIGHT_BITS, USUAL_WEIGHT_BITS = 16, 8
MOST_CHANNELS, MOST_SPREAD = 32, 16
"""Most channels, and rows or columns, of blocks that are moved."""
ONE_SHIFT = [rounding for rounding in Rounding if rounding is not Rounding.TFLITE]
"""Roundings of any shift; those of more than 31 bits are drawn with their multipliers."""
BIAS_BITS, MOST_SHIFT, MOST_MULTIPLIER = 40, 47, (1 << 16) - 1
MOST_LEVELS, FEW_LEVELS = 255, 4
"""Most thresholds of a channel, and most where there are few."""
TIED_SHIFT, TIED_MULTIPLIER = 6, 9
"""Largest shift and multiplier of scales so coarse that many values are ties."""


def draw_convolution(
    choices: Choices, name: str, source: str, shape: Shape, *, same_size: bool = False
) -> Conv2d:
    """Draw a convolution, sometimes a depthwise one.

    Parameters
    ----------
    choices : Choices
    name, source : str
        Name of the layer, and of the layer that it reads.
    shape : tuple of int
        Shape (C, H, W) of its input.
    same_size : bool
        Whether height and width of the output must equal those of the input.
    """
    kernel = _draw_kernel(choices, shape)
    dilation = _draw_dilation(choices)
    reach = reach_of(kernel, dilation)
    if same_size:
        stride, padding = (1, 1), _draw_even_padding(choices, reach)
    else:
        stride, padding = _draw_stride(choices), _draw_padding(choices, reach, shape)
    depthwise = choices.chance(25)
    filters = shape[0] * choices.integer(1, 3) if depthwise else choices.integer(1, MOST_FILTERS)
    weights = (filters, 1 if depthwise else shape[0], *kernel)
    pattern, bits = _draw_pattern(choices, weights, depthwise), _draw_weight_bits(choices)
    mask = pattern.best_mask(choices.generator().random(weights))
    output = draw_act_type(choices)
    return Conv2d(
        name=name,
        input=source,
        weight=_draw_weights(choices, weights, bits) * mask,
        bias=_draw_bias(choices, filters),
        requantize=_draw_requantize(choices, filters, output, bits),
        output=output,
        weight_bits=bits,
        stride=stride,
        padding=padding,
        groups=shape[0] if depthwise else 1,
        pattern=pattern,
        mask=None if pattern.is_dense else mask,
        dilation=dilation,
    )


def draw_linear(choices: Choices, name: str, source: str, shape: Shape) -> Linear:
    """Draw a linear layer."""
    weights = (choices.integer(1, MOST_FILTERS), shape[0])
    pattern, bits = _draw_pattern(choices, (*weights, 1, 1), False), _draw_weight_bits(choices)
    mask = pattern.best_mask(choices.generator().random((*weights, 1, 1))).reshape(weights)
    output = draw_act_type(choices)
    return Linear(
        name=name,
        input=source,
        weight=_draw_weights(choices, weights, bits) * mask,
        bias=_draw_bias(choices, weights[0]),
        requantize=_draw_requantize(choices, weights[0], output, bits),
        output=output,
        weight_bits=bits,
        pattern=pattern,
        mask=None if pattern.is_dense else mask,
    )


def draw_maximum(choices: Choices, name: str, source: str, shape: Shape) -> MaxPool2d:
    """Draw a max pool."""
    kernel = _draw_kernel(choices, shape)
    dilation = _draw_dilation(choices)
    pool = MaxPool2d(
        name=name,
        input=source,
        kernel_size=kernel,
        stride=_draw_stride(choices),
        padding=_draw_padding(choices, reach_of(kernel, dilation), shape),
        dilation=dilation,
    )
    # Where a window of a dilated kernel would read padding only, the kernel is not dilated.
    if not list(pool.problems([shape])):
        return pool
    return replace(pool, dilation=(1, 1), padding=_draw_padding(choices, kernel, shape))


def draw_average(choices: Choices, name: str, source: str, shape: Shape) -> AvgPool2d:
    """Draw an average pool, sometimes over the whole image."""
    output = draw_act_type(choices)
    whole = choices.chance(30)
    kernel = None if whole else _draw_kernel(choices, shape)
    padding = (0, 0, 0, 0) if kernel is None else _draw_padding(choices, kernel, shape)
    return AvgPool2d(
        name=name,
        input=source,
        requantize=_draw_requantize(choices, shape[0], output, 4),
        output=output,
        kernel_size=kernel,
        stride=(1, 1) if kernel is None else _draw_stride(choices),
        padding=padding,
        counted=_draw_counted(choices, padding),
    )


def draw_add(choices: Choices, name: str, sources: tuple[str, str], shape: Shape) -> Add:
    """Draw an addition of two tensors of this shape, in any order."""
    output = draw_act_type(choices)
    first, second = sources if choices.chance(50) else reversed(sources)
    return Add(
        name=name,
        inputs=(first, second),
        multipliers=(choices.integer(1, (1 << 16) - 1), choices.integer(1, (1 << 16) - 1)),
        requantize=_draw_requantize(choices, shape[0], output, 16),
        output=output,
    )


def draw_product(choices: Choices, name: str, sources: tuple[str, str], shape: Shape) -> Multiply:
    """Draw a product of two tensors of this shape, in any order."""
    output = draw_act_type(choices)
    first, second = sources if choices.chance(50) else reversed(sources)
    return Multiply(
        name=name,
        inputs=(first, second),
        requantize=_draw_requantize(choices, shape[0], output, 8),
        output=output,
    )


def draw_table(choices: Choices, name: str, source: str, act: ActType) -> Table:
    """Draw a table of any values, for inputs of this type."""
    output = draw_act_type(choices)
    return Table(
        name=name,
        input=source,
        values=choices.generator().integers(output.low, output.high + 1, 1 << act.bits),
        output=output,
    )


def _draw_kernel(choices: Choices, shape: Shape) -> tuple[int, int]:
    _, height, width = shape
    return (
        choices.integer(1, min(height, MOST_KERNEL)),
        choices.integer(1, min(width, MOST_KERNEL)),
    )


def _draw_stride(choices: Choices) -> tuple[int, int]:
    return choices.integer(1, MOST_STRIDE), choices.integer(1, MOST_STRIDE)


def _draw_dilation(choices: Choices) -> tuple[int, int]:
    if choices.chance(75):
        return 1, 1
    return choices.integer(1, MOST_DILATION), choices.integer(1, MOST_DILATION)


def _draw_padding(choices: Choices, reach: tuple[int, int], shape: Shape) -> Padding:
    """Draw padding below the reach of a kernel, and enough for one window."""
    sides: list[int] = []
    for size, length in zip(reach, shape[1:], strict=True):
        before = choices.integer(0, size - 1)
        sides += [before, choices.integer(max(0, size - length - before), size - 1)]
    return sides[0], sides[1], sides[2], sides[3]


def _draw_counted(choices: Choices, padding: Padding) -> Padding | None:
    """Draw the part of the padding that is in the area of windows."""
    if not any(padding) or choices.chance(50):
        return None
    top, bottom, left, right = (choices.integer(0, added) for added in padding)
    return (top, bottom, left, right) if choices.chance(50) else (0, 0, 0, 0)


def _draw_even_padding(choices: Choices, kernel: tuple[int, int]) -> Padding:
    high, wide = (size - 1 for size in kernel)
    top, left = choices.integer(0, high), choices.integer(0, wide)
    return top, high - top, left, wide - left


def _draw_weight_bits(choices: Choices) -> int:
    return choices.integer(1, MOST_WEIGHT_BITS if choices.chance(10) else USUAL_WEIGHT_BITS)


def _draw_pattern(choices: Choices, shape: WeightShape, depthwise: bool) -> Pattern:
    """Draw a selection and taps; no engine computes k-per-neuron patterns of depthwise layers."""
    filters, channels = shape[:2]
    shared = choices.one_of([d for d in (1, 2, 3) if filters % d == 0])
    if not depthwise and choices.chance(20):
        taps = _draw_taps(choices, shape, 1)
        most = int(Pattern(taps=taps).tap_mask(shape).sum())
        return Pattern(select=PerNeuron(choices.integer(1, max(most, 1)), shared), taps=taps)
    n = choices.one_of([d for d in range(1, channels + 1) if channels % d == 0])
    taps = _draw_taps(choices, shape, n)
    if not choices.chance(70):
        return Pattern(taps=taps)
    granularity = choices.one_of(list(Granularity))
    return Pattern(select=KOutOfN(choices.integer(1, n), n, granularity, shared), taps=taps)


def _draw_taps(choices: Choices, shape: WeightShape, group: int) -> AllTaps | Strided:
    """Draw all taps, or sometimes strided taps with one offset per group of channels."""
    channels, taps = shape[1], prod(shape[2:])
    if taps == 1 or not choices.chance(40):
        return AllTaps()
    stride = choices.integer(2, min(taps, 4))
    offsets = [choices.integer(0, stride - 1) for _ in range(channels // group)]
    return Strided(stride, tuple(np.repeat(offsets, group).tolist()))


def draw_act_type(choices: Choices) -> ActType:
    """Draw any activation type, mostly of at most 8 bits, and its zero point."""
    signed = choices.chance(50)
    bits = choices.integer(2 if signed else 1, 16 if choices.chance(20) else 8)
    plain = ActType(bits=bits, signed=signed)
    zero = choices.integer(plain.low, plain.high) if choices.chance(60) else 0
    return ActType(bits=bits, signed=signed, zero_point=zero)


def _draw_requantize(choices: Choices, channels: int, output: ActType, bits: int) -> Requantize:
    """Draw a scale for sums of about `bits` bits, or any scale, or one that makes many ties."""
    if choices.chance(10):
        return _draw_thresholds(choices, channels, output, bits)
    rng = choices.generator()
    shift = choices.integer(bits + 2, bits + 14)
    spread = 3 if choices.chance(50) else 0
    low, high = max(shift - spread, 0), min(shift + spread, MOST_SHIFT)
    most_multiplier = MOST_MULTIPLIER
    match choices.integer(0, 9):
        case 5 | 6 | 7 | 8:
            low, high, most_multiplier = 0, TIED_SHIFT, TIED_MULTIPLIER
        case 9:
            low, high = 0, MOST_SHIFT
    power_of_two = not choices.chance(75)
    multipliers = channels if choices.chance(70) else 1
    drawn = rng.integers(0, most_multiplier + 1, multipliers)
    shifts = rng.integers(low, high + 1, channels if spread else 1)
    offset, raised = None, 0
    if choices.chance(35):
        # A few units of the output, with fractions: trailing zeros of multipliers keep them.
        offset = rng.integers(-9, 10, channels) << rng.integers(0, high + 1)
        offset += rng.integers(-9, 10, channels)
        raised = choices.integer(0, 7)
        shifts = np.minimum(shifts + raised, MOST_SHIFT)
    return Requantize(
        multiplier=(np.ones(1, int) if power_of_two else drawn) << raised,
        shift=shifts,
        offset=offset,
        rounding=choices.one_of(ONE_SHIFT),
        overflow=choices.one_of(list(Overflow)),
        clamp=_draw_clamp(choices, output) if choices.chance(40) else None,
        negative=_draw_slopes(choices, channels, most_multiplier) if offset is None else None,
    )


def _draw_slopes(choices: Choices, channels: int, most: int) -> IntArray | None:
    """Draw multipliers of negative sums, sometimes with a sign; mostly none."""
    if not choices.chance(25):
        return None
    low = -most if choices.chance(50) else 0
    return choices.generator().integers(low, most + 1, channels if choices.chance(60) else 1)


def _draw_thresholds(choices: Choices, channels: int, output: ActType, bits: int) -> Requantize:
    """Draw thresholds of sums of about `bits` bits: few or many, close together or far apart."""
    rng = choices.generator()
    most = min(output.high - output.low, MOST_LEVELS)
    levels = choices.integer(1, min(most, FEW_LEVELS) if choices.chance(60) else most)
    reach = 1 << choices.integer(2, bits + 2)
    rows = channels if choices.chance(70) else 1
    return Requantize.by_thresholds(np.sort(rng.integers(-reach, reach, (rows, levels)), axis=1))


def _draw_clamp(choices: Choices, output: ActType) -> tuple[int, int]:
    """Draw the bounds of a ReLU, or any bounds."""
    if choices.chance(70):
        return output.zero_point, output.high
    low = choices.integer(output.low, output.high)
    return low, choices.integer(low, output.high)


def _draw_weights(choices: Choices, shape: tuple[int, ...], bits: int) -> IntArray:
    """Draw weights over their whole range, or sometimes only its ends."""
    rng = choices.generator()
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    if bits == 1:
        return rng.choice([-1, 1], shape)
    if choices.chance(10):
        return rng.choice([low, high], shape)
    return rng.integers(low, high + 1, shape)


def _draw_bias(choices: Choices, filters: int) -> IntArray:
    """Draw small biases, or sometimes any."""
    most = (1 << (BIAS_BITS - 1)) - 1 if choices.chance(5) else 999
    return choices.generator().integers(-most - 1, most + 1, filters)
