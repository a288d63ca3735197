"""Draw operators of two tensors, and of a tensor and a constant for each channel."""

import numpy as np

from systolith.fuzz.files.operators import FUSED
from systolith.fuzz.files.sheet import Sheet

__all__ = ["draw_channelwise", "draw_pair"]

EXTREMES = ("MAXIMUM", "MINIMUM")
"""Their inputs have one scale, and nothing is fused."""


def draw_pair(sheet: Sheet, source: int) -> list[int]:
    """Draw an operator of two branches: of one shape, or one value for each channel or pixel."""
    choices, shape = sheet.choices, sheet.shape(source)
    kind = choices.one_of(("ADD", "ADD", "SUB", "MUL", *EXTREMES))
    fitting = [
        number
        for number, tensor in enumerate(sheet.file.tensors)
        if tensor.dtype == "int8" and tensor.values is None and _fits(tensor.shape, shape)
    ]
    other = choices.one_of(fitting[::-1])
    if kind in EXTREMES:
        mine, given = sheet.file.tensors[source], sheet.file.tensors[other]
        if (mine.scale, mine.zero) != (given.scale, given.zero):
            other = sheet.operator("QUANTIZE", [other], given.shape, like=source)
    pair = [source, other] if choices.chance(60) else [other, source]
    return [_combine(sheet, kind, pair, source)]


def draw_channelwise(sheet: Sheet, source: int) -> list[int]:
    """Draw an operator with a constant for each channel, of integers or of real numbers."""
    choices, shape = sheet.choices, sheet.shape(source)
    channels, axes = shape[-1], choices.integer(1, len(shape))
    given = (*[1] * (axes - 1), channels)
    kind = choices.one_of(("ADD", "MUL", "SUB", "PRELU", "PRELU", *EXTREMES))
    if choices.chance(20):
        return [_draw_real_affine(sheet, source, channels)]
    values = sheet.rng.integers(-128, 128, given, dtype=np.int8)
    mine = sheet.file.tensors[source]
    fields = {"scale": mine.scale[0], "zero": mine.zero[0]}
    if kind not in EXTREMES:
        zero = 0 if choices.chance(30) else int(sheet.rng.integers(-128, 128))
        fields = {"scale": sheet.scale(), "zero": zero}
    constant = sheet.constant(values, **fields)
    if kind == "PRELU":
        return [sheet.operator(kind, [source, constant], shape)]
    pair = [source, constant] if choices.chance(60) else [constant, source]
    return [_combine(sheet, kind, pair, source)]


def _fits(given: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    """Whether a tensor has a shape, or is a gate of its channels or pixels."""
    gates = ((1, 1, 1, shape[-1]), (*shape[:-1], 1)) if len(shape) == 4 else ()
    return given == shape or given in gates


def _combine(sheet: Sheet, kind: str, pair: list[int], source: int) -> int:
    shape = sheet.shape(source)
    if kind in EXTREMES:
        return sheet.operator(kind, pair, shape, like=source)
    fused = sheet.choices.one_of(FUSED)
    return sheet.operator(
        kind, pair, shape, f"{kind.title()}Options", FusedActivationFunction=fused
    )


def _draw_real_affine(sheet: Sheet, source: int, channels: int) -> int:
    """Draw a product and a sum of real numbers for each channel, between integers."""
    shape = sheet.shape(source)
    x = sheet.activation(sheet.name("DEQUANTIZE"), shape, dtype="float32")
    sheet.file.operator("DEQUANTIZE", [source], [x])
    for kind in ("MUL", "ADD"):
        y = sheet.activation(sheet.name(kind), shape, dtype="float32")
        numbers = sheet.constant(sheet.rng.normal(0, 1, channels).astype(np.float32))
        sheet.file.operator(kind, [x, numbers], [y], f"{kind.title()}Options")
        x = y
    return sheet.operator("QUANTIZE", [x], shape)
