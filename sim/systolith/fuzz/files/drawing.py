"""Draw TFLite files: int8 operators in chains and branches, with any scales."""

from collections.abc import Callable

import numpy as np

from systolith.fuzz.choices import Choices
from systolith.fuzz.files.case import FileCase
from systolith.fuzz.files.dividing import draw_divided, draw_repeated
from systolith.fuzz.files.moving import draw_move
from systolith.fuzz.files.operators import draw_function, draw_pool, draw_weighted
from systolith.fuzz.files.ordering import draw_shape
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
    points = _draw_inputs(sheet, shape)
    for _ in range(choices.integer(1, most_layers)):
        source = choices.one_of(points[::-1]) if choices.chance(25) else points[-1]
        draw = choices.one_of(DRAWS)
        points += draw(sheet, source)
    inputs = sheet.file.inputs
    if {operator.kind for operator in sheet.file.operators} <= {"RESHAPE", "TRANSPOSE"}:
        points += draw_function(sheet, points[-1])
    outputs = [points[-1], *choices.subset(points[len(inputs) : -1], 15)]
    sheet.file.outputs = list(dict.fromkeys(outputs))
    channels = sum(sheet.shape(number)[-1] for number in inputs)
    size = (IMAGES, *sheet.shape(inputs[0])[1:-1], channels)
    images = choices.generator().integers(-128, 128, size, dtype=np.int8)
    covers = tuple(sorted({operator.kind for operator in sheet.file.operators}))
    return FileCase(content=sheet.file.encode(), images=images, covers=covers)


def _draw_inputs(sheet: Sheet, shape: tuple[int, ...]) -> list[int]:
    """Draw the input: an image, a sequence, other axes of an image, or several images."""
    choices, file = sheet.choices, sheet.file
    match choices.integer(0, 19):
        case 0 | 1 | 2:
            x = sheet.activation("input", (1, int(np.prod(shape))))
            made = [draw_shape(sheet, x, shape)] if choices.chance(70) else []
        case 3 | 4:
            x, made = sheet.activation("input", (1, *shape[2:])), []
        case 5:
            x = sheet.activation("input", (1, shape[3], *shape[1:3]))
            order = sheet.constant([0, 2, 3, 1])
            made = [sheet.operator("TRANSPOSE", [x, order], shape, like=x)]
        case 6 | 7:
            x = sheet.activation("input", shape)
            channels = choices.integer(1, 3)
            made = [sheet.activation("second", (*shape[:-1], channels), x)]
            file.inputs = [x, *made]
            return [*file.inputs]
        case _:
            x, made = sheet.activation("input", shape), []
    file.inputs = [x]
    return [x, *made]


Draw = Callable[[Sheet, int], list[int]]
DRAWS: tuple[Draw, ...] = (
    *(draw_weighted,) * 4,
    *(draw_pool,) * 2,
    *(draw_function,) * 3,
    *(draw_move,) * 4,
    *(draw_pair,) * 2,
    *(draw_channelwise,) * 2,
    draw_divided,
    draw_repeated,
)
