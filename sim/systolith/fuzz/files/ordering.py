"""Draw operators that change the order of values, or only their shape."""

from collections.abc import Sequence

import numpy as np

from systolith.fuzz.files.sheet import Sheet

__all__ = ["draw_order", "draw_shape", "draw_shuffle"]


def draw_shape(sheet: Sheet, source: int, shape: Sequence[int], kind: str = "RESHAPE") -> int:
    """Draw another shape of the same values."""
    wanted = sheet.constant(list(shape))
    return sheet.operator(kind, [source, wanted], shape, like=source)


def draw_order(sheet: Sheet, source: int) -> list[int]:
    """Draw gathered, stacked or unstacked parts, exchanged axes, or a sequence."""
    choices, shape = sheet.choices, sheet.shape(source)
    axis = choices.integer(1, len(shape) - 1)
    match choices.integer(0, 5):
        case 0:
            size = shape[axis]
            chosen = [choices.integer(0, size - 1) for _ in range(choices.integer(1, size + 1))]
            if choices.chance(60):
                chosen = sheet.rng.permutation(size).tolist()
            return [
                sheet.operator(
                    "GATHER", [source, sheet.constant(chosen)],
                    (*shape[:axis], len(chosen), *shape[axis + 1 :]), "GatherOptions", like=source,
                    Axis=axis,
                )
            ]  # fmt: skip
        case 1:
            parts = [
                sheet.activation(
                    f"{sheet.name('UNPACK')}:{number}", shape[:axis] + shape[axis + 1 :], source
                )
                for number in range(shape[axis])
            ]
            sheet.file.operator(
                "UNPACK", [source], parts, "UnpackOptions", Num=len(parts), Axis=axis
            )
            if choices.chance(60):
                order = [parts[number] for number in sheet.rng.permutation(len(parts))]
                return [_stack(sheet, order, choices.integer(1, len(shape) - 1))]
            return [part for part in parts if len(sheet.shape(part)) > 1]
        case 2 if len(shape) < 4:
            return [_stack(sheet, [source] * choices.integer(1, 2), axis)]
        case 3:
            order = [0, *(sheet.rng.permutation(len(shape) - 1) + 1).tolist()]
            made = [_exchange(sheet, source, order)]
            if choices.chance(50):
                made.append(_exchange(sheet, made[0], np.argsort(order).tolist()))
            return made
        case _ if len(shape) == 4 and 1 in shape[1:3]:
            return [draw_shape(sheet, source, (1, shape[1] * shape[2], shape[3]))]
        case _ if len(shape) == 3:
            place = choices.integer(1, 2)
            return [draw_shape(sheet, source, (*shape[:place], 1, *shape[place:]))]
        case _ if len(shape) == 4:
            return [draw_shape(sheet, source, (1, shape[1] * shape[2], shape[3]))]
        case _:
            return [draw_shape(sheet, source, (1, 1, shape[1]))]


def draw_shuffle(sheet: Sheet, source: int) -> list[int]:
    """Draw a shuffle of channels: groups and their channels exchanged."""
    _, height, width, channels = shape = sheet.shape(source)
    groups = next((by for by in (2, 3, 1) if channels % by == 0), 1)
    apart = draw_shape(sheet, source, (1, height, width, groups, channels // groups))
    return [draw_shape(sheet, _exchange(sheet, apart, [0, 1, 2, 4, 3]), shape)]


def _exchange(sheet: Sheet, source: int, order: Sequence[int]) -> int:
    shape = [sheet.shape(source)[axis] for axis in order]
    return sheet.operator("TRANSPOSE", [source, sheet.constant(list(order))], shape, like=source)


def _stack(sheet: Sheet, parts: Sequence[int], axis: int) -> int:
    shape = sheet.shape(parts[0])
    return sheet.operator(
        "PACK", parts, (*shape[:axis], len(parts), *shape[axis:]), "PackOptions", like=parts[0],
        ValuesCount=len(parts), Axis=axis,
    )  # fmt: skip
