"""Draw TFLite files: int8 operators in chains and branches, with any scales."""

from collections.abc import Callable

import numpy as np

from systolith.fuzz.choices import Choices
from systolith.fuzz.files.case import FileCase
from systolith.fuzz.files.moving import draw_move, draw_shape
from systolith.fuzz.files.operators import draw_function, draw_pool, draw_weighted
from systolith.fuzz.files.pairs import draw_channelwise, draw_pair
from systolith.fuzz.files.sheet import Sheet

__all__ = ["draw_file"]

IMAGES = 4


def draw_file(choices: Choices, most_layers: int = 6) -> FileCase:
    """Draw a file; the reference kernels may refuse it."""
    sheet = Sheet(choices)
    shape = (1, choices.integer(1, 7), choices.integer(1, 7), choices.integer(1, 4))
    if choices.chance(15):
        shape = (1, 1, 1, choices.integer(2, 12))
    x = sheet.activation("input", shape if choices.chance(85) else (1, int(np.prod(shape))))
    sheet.file.inputs = [x]
    if len(sheet.shape(x)) == 2 and choices.chance(70):
        x = draw_shape(sheet, x, shape)
    points = [x]
    for _ in range(choices.integer(1, most_layers)):
        source = choices.one_of(points[::-1]) if choices.chance(25) else points[-1]
        draw = choices.one_of(DRAWS)
        points += draw(sheet, source)
    if len(points) == 1:
        points += draw_function(sheet, x)
    outputs = [points[-1], *choices.subset(points[1:-1], 15)]
    sheet.file.outputs = list(dict.fromkeys(outputs))
    size = (IMAGES, *sheet.shape(sheet.file.inputs[0])[1:])
    images = choices.generator().integers(-128, 128, size, dtype=np.int8)
    covers = tuple(sorted({operator.kind for operator in sheet.file.operators}))
    return FileCase(content=sheet.file.encode(), images=images, covers=covers)


Draw = Callable[[Sheet, int], list[int]]
DRAWS: tuple[Draw, ...] = (
    *(draw_weighted,) * 4,
    *(draw_pool,) * 2,
    *(draw_function,) * 3,
    *(draw_move,) * 4,
    *(draw_pair,) * 2,
    *(draw_channelwise,) * 2,
)
