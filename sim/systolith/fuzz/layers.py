"""Single layers of every kind, each with any pattern that an engine exists for."""

from math import prod

import numpy as np

from systolith.fuzz.choices import Choices
from systolith.fuzz.numbers import draw_act_type, draw_bias, draw_requantize, draw_weights
from systolith.network import (
    Add,
    AllTaps,
    AvgPool2d,
    Conv2d,
    Granularity,
    KOutOfN,
    Linear,
    MaxPool2d,
    Padding,
    Pattern,
    PerNeuron,
    Shape,
    Strided,
    WeightShape,
)

__all__ = ["draw_add", "draw_average", "draw_convolution", "draw_linear", "draw_maximum"]

MOST_KERNEL, MOST_STRIDE, MOST_FILTERS = 4, 3, 8
MOST_WEIGHT_BITS, USUAL_WEIGHT_BITS = 16, 8


def draw_convolution(
    choices: Choices, name: str, source: str, shape: Shape, *, same_size: bool = False
) -> Conv2d:
    """Choose a convolution, now and then a depthwise one.

    Parameters
    ----------
    choices : Choices
    name, source : str
        Of the layer, and whose output it reads.
    shape : tuple of int
        Of what it reads: (C, H, W).
    same_size : bool
        Whether the output must be as high and wide as the input.
    """
    kernel = _draw_kernel(choices, shape)
    if same_size:
        stride, padding = (1, 1), _draw_even_padding(choices, kernel)
    else:
        stride, padding = _draw_stride(choices), _draw_padding(choices, kernel)
    depthwise = choices.chance(25)
    filters = shape[0] * choices.integer(1, 3) if depthwise else choices.integer(1, MOST_FILTERS)
    weights = (filters, 1 if depthwise else shape[0], *kernel)
    pattern, bits = _draw_pattern(choices, weights, depthwise), _draw_weight_bits(choices)
    mask = pattern.best_mask(choices.generator().random(weights))
    output = draw_act_type(choices)
    return Conv2d(
        name=name,
        input=source,
        weight=draw_weights(choices, weights, bits) * mask,
        bias=draw_bias(choices, filters),
        requantize=draw_requantize(choices, filters, output, bits),
        output=output,
        weight_bits=bits,
        stride=stride,
        padding=padding,
        groups=shape[0] if depthwise else 1,
        pattern=pattern,
        mask=None if pattern.is_dense else mask,
    )


def draw_linear(choices: Choices, name: str, source: str, shape: Shape) -> Linear:
    """Choose a linear layer on a vector."""
    weights = (choices.integer(1, MOST_FILTERS), shape[0])
    pattern, bits = _draw_pattern(choices, (*weights, 1, 1), False), _draw_weight_bits(choices)
    mask = pattern.best_mask(choices.generator().random((*weights, 1, 1))).reshape(weights)
    output = draw_act_type(choices)
    return Linear(
        name=name,
        input=source,
        weight=draw_weights(choices, weights, bits) * mask,
        bias=draw_bias(choices, weights[0]),
        requantize=draw_requantize(choices, weights[0], output, bits),
        output=output,
        weight_bits=bits,
        pattern=pattern,
        mask=None if pattern.is_dense else mask,
    )


def draw_maximum(choices: Choices, name: str, source: str, shape: Shape) -> MaxPool2d:
    """Choose a max pool."""
    kernel = _draw_kernel(choices, shape)
    return MaxPool2d(
        name=name,
        input=source,
        kernel_size=kernel,
        stride=_draw_stride(choices),
        padding=_draw_padding(choices, kernel),
    )


def draw_average(choices: Choices, name: str, source: str, shape: Shape) -> AvgPool2d:
    """Choose an average pool, now and then over the whole image."""
    output = draw_act_type(choices)
    whole = choices.chance(30)
    kernel = None if whole else _draw_kernel(choices, shape)
    return AvgPool2d(
        name=name,
        input=source,
        requantize=draw_requantize(choices, shape[0], output, 4),
        output=output,
        kernel_size=kernel,
        stride=(1, 1) if kernel is None else _draw_stride(choices),
        padding=(0, 0, 0, 0) if kernel is None else _draw_padding(choices, kernel),
    )


def draw_add(choices: Choices, name: str, sources: tuple[str, str], shape: Shape) -> Add:
    """Choose an addition of two tensors of this shape, in any order."""
    output = draw_act_type(choices)
    first, second = sources if choices.chance(50) else reversed(sources)
    return Add(
        name=name,
        inputs=(first, second),
        multipliers=(choices.integer(1, (1 << 16) - 1), choices.integer(1, (1 << 16) - 1)),
        requantize=draw_requantize(choices, shape[0], output, 16),
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


def _draw_padding(choices: Choices, kernel: tuple[int, int]) -> Padding:
    high, wide = (size - 1 for size in kernel)
    top, bottom = choices.integer(0, high), choices.integer(0, high)
    return top, bottom, choices.integer(0, wide), choices.integer(0, wide)


def _draw_even_padding(choices: Choices, kernel: tuple[int, int]) -> Padding:
    high, wide = (size - 1 for size in kernel)
    top, left = choices.integer(0, high), choices.integer(0, wide)
    return top, high - top, left, wide - left


def _draw_weight_bits(choices: Choices) -> int:
    return choices.integer(1, MOST_WEIGHT_BITS if choices.chance(10) else USUAL_WEIGHT_BITS)


def _draw_pattern(choices: Choices, shape: WeightShape, depthwise: bool) -> Pattern:
    """Choose a selection and taps; no engine computes k per neuron of a depthwise layer."""
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
    """Choose now and then a stride, with an offset for each group of channels."""
    channels, taps = shape[1], prod(shape[2:])
    if taps == 1 or not choices.chance(40):
        return AllTaps()
    stride = choices.integer(2, min(taps, 4))
    offsets = [choices.integer(0, stride - 1) for _ in range(channels // group)]
    return Strided(stride, tuple(np.repeat(offsets, group).tolist()))
