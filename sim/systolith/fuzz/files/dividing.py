"""Draw dilated convolutions and upsampling as Keras writes them."""

import numpy as np

from systolith.fuzz.files.operators import draw_convolution, draw_function, draw_pool
from systolith.fuzz.files.ordering import draw_shape
from systolith.fuzz.files.sheet import Sheet

__all__ = ["draw_divided", "draw_repeated"]


def draw_divided(sheet: Sheet, source: int) -> list[int]:
    """Draw an image or a sequence in parts, operators of the parts, and the whole again."""
    choices, (_, *sizes, channels) = sheet.choices, sheet.shape(source)
    if not sizes:
        return draw_function(sheet, source)
    blocks = [choices.one_of((2, 2, 1, 3)) for _ in sizes]
    ends = []
    for size, block in zip(sizes, blocks, strict=True):
        low = choices.integer(0, 3)
        ends.append([low, -(size + low) % block + block * choices.integer(0, 1)])
    parts = [(n + sum(pair)) // by for n, pair, by in zip(sizes, ends, blocks, strict=True)]
    count = int(np.prod(blocks))
    x = _draw_blocks(sheet, "SPACE_TO_BATCH_ND", source, blocks, ends, (count, *parts, channels))
    if len(sizes) == 1:
        x = draw_shape(sheet, x, (count, 1, *parts, channels))
    if choices.chance(10):
        (x,) = draw_pool(sheet, x)
        if len(sheet.shape(x)) < 4:
            return []
    x = draw_convolution(sheet, x)
    if choices.chance(30):
        x = draw_function(sheet, x)[-1]
    if choices.chance(20):
        x = draw_convolution(sheet, x)
    count, *near, filters = sheet.shape(x)
    if len(sizes) == 1:
        near = near[1:]
        x = draw_shape(sheet, x, (count, *near, filters))
    whole = [size * block for size, block in zip(near, blocks, strict=True)]
    crops = []
    for size in whole:
        low = choices.integer(0, min(1, size - 1))
        crops.append([low, choices.integer(0, min(2, size - low - 1))])
    shape = (1, *(size - sum(pair) for size, pair in zip(whole, crops, strict=True)), filters)
    return [_draw_blocks(sheet, "BATCH_TO_SPACE_ND", x, blocks, crops, shape)]


def draw_repeated(sheet: Sheet, source: int) -> list[int]:
    """Draw rows or columns repeated: a new axis, TILE or BROADCAST_TO, and the image again."""
    choices, shape = sheet.choices, sheet.shape(source)
    axis, times = choices.integer(1, len(shape) - 1), choices.integer(1, 3)
    apart = (*shape[: axis + 1], 1, *shape[axis + 1 :])
    repeated = (*shape[: axis + 1], times, *shape[axis + 1 :])
    x, tiles = draw_shape(sheet, source, apart), [1] * len(apart)
    tiles[axis + 1] = times
    kind = choices.one_of(("TILE", "BROADCAST_TO"))
    given = sheet.constant(tiles if kind == "TILE" else list(repeated))
    x = sheet.operator(kind, [x, given], repeated, like=x)
    return [draw_shape(sheet, x, (*shape[:axis], shape[axis] * times, *shape[axis + 1 :]))]


def _draw_blocks(
    sheet: Sheet, kind: str, source: int, blocks: list[int], ends: list[list[int]],
    shape: tuple[int, ...],
) -> int:  # fmt: skip
    inputs = [source, sheet.constant(blocks), sheet.constant(ends)]
    return sheet.operator(kind, inputs, shape, like=source)
