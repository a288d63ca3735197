"""Write operators of ONNX graphs that move, join, split and rearrange values."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from systolith.fuzz.graphs.writer import ImpossibleNodeError, Writer

__all__ = ["write_join", "write_move", "write_split_and_join"]

AXES_AS_INPUT = {"Slice": 10, "Split": 13, "Resize": 11}
"""Operator sets from which on a parameter is an input; before, it is an attribute."""
MODES_SINCE = 11
"""Operator set from which on DepthToSpace has modes."""
MOST_PIXELS = 200
"""Largest image that is made larger, height times width."""


def write_move(writer: Writer, x: str) -> str:
    """Write an operator that moves values of an image."""
    channels, height, width = writer.image(x)
    choices = writer.choices
    if channels % 4 == 0 and height * width <= MOST_PIXELS and choices.chance(30):
        return _keep_scale(writer, x, _write_depth_to_space(writer, x))
    if height % 2 == 0 and width % 2 == 0 and choices.chance(30):
        return _keep_scale(writer, x, writer.add("SpaceToDepth", x, blocksize=2))
    match choices.integer(0, 9):
        case 0 | 1:
            return _keep_scale(writer, x, _write_channel_slice(writer, x))
        case 2:
            return _keep_scale(writer, x, _write_crop(writer, x))
        case 3:
            order = choices.generator().permutation(channels)[: choices.integer(1, channels)]
            kept = writer.const(order, np.int64)
            return _keep_scale(writer, x, writer.add("Gather", x, kept, axis=1))
        case 4 | 5:
            return _keep_scale(writer, x, _write_shuffle(writer, x))
        case 6 | 7 if height * width <= MOST_PIXELS:
            return _keep_scale(writer, x, _write_resize(writer, x))
        case 8 if writer.opset >= AXES_AS_INPUT["Slice"]:
            return _keep_scale(writer, x, _write_slice(writer, x, [0, 0], [height, width], [2, 2]))
        case _:
            return _keep_scale(writer, x, _write_channel_slice(writer, x))


def write_join(writer: Writer, parts: Sequence[str]) -> str:
    """Write a Concat of images of one size."""
    return writer.add("Concat", *parts, axis=writer.choices.one_of([1, -3]))


def write_split_and_join(writer: Writer, x: str) -> str:
    """Write a Split, and a Concat of some of its parts in any order."""
    channels, choices = writer.image(x)[0], writer.choices
    if channels < 2:
        raise ImpossibleNodeError("one channel cannot be split")
    cut = choices.integer(1, channels - 1)
    sizes = [cut, channels - cut]
    if writer.opset < AXES_AS_INPUT["Split"]:
        first = writer.add("Split", x, outputs=2, axis=1, split=sizes)
    else:
        first = writer.add("Split", x, writer.const(sizes, np.int64), outputs=2, axis=1)
    parts = [_keep_scale(writer, x, name) for name in (first, f"{first}1")]
    if writer.chance(25):
        return choices.one_of(parts)
    if writer.chance(60):
        parts.reverse()
    if writer.chance(25):
        parts.append(choices.one_of([x, *parts]))
    return _keep_scale(writer, x, write_join(writer, parts))


def _keep_scale(writer: Writer, x: str, result: str) -> str:
    if x in writer.scales:
        writer.scales[result] = writer.scales[x]
    return result


def _write_slice(
    writer: Writer, x: str, starts: list[int], ends: list[int], steps: list[int] | None = None
) -> str:
    """Write a Slice of rows and columns, or with one entry of channels."""
    axes = [1] if len(starts) == 1 else [2, 3]
    if writer.opset < AXES_AS_INPUT["Slice"]:
        return writer.add("Slice", x, starts=starts, ends=ends, axes=axes)
    if writer.chance(25):
        axes = [axis - 4 for axis in axes]
    given = [starts, ends, axes, *([] if steps is None else [steps])]
    return writer.add("Slice", x, *(writer.const(values, np.int64) for values in given))


def _write_channel_slice(writer: Writer, x: str) -> str:
    channels, choices = writer.image(x)[0], writer.choices
    start = choices.integer(0, channels - 1)
    end = choices.integer(start + 1, channels)
    steps = None
    if writer.chance(20) and writer.opset >= AXES_AS_INPUT["Slice"]:
        steps = [choices.one_of([2, -1])]
        if steps == [-1]:
            start, end = end - 1, start - 1 if start else -channels - 1
    ends = [choices.one_of([end, 1 << 40]) if end == channels else end]
    return _write_slice(writer, x, [start], ends, steps)


def _write_crop(writer: Writer, x: str) -> str:
    _, height, width = writer.image(x)
    choices = writer.choices
    starts = [choices.integer(0, (height - 1) // 2), choices.integer(0, (width - 1) // 2)]
    ends = [choices.integer(starts[0] + 1, height), choices.integer(starts[1] + 1, width)]
    return _write_slice(writer, x, starts, ends)


def _write_shuffle(writer: Writer, x: str) -> str:
    """Write a channel shuffle as PyTorch exports it."""
    channels, height, width = writer.image(x)
    divisors = [divisor for divisor in range(2, channels) if channels % divisor == 0]
    if not divisors:
        raise ImpossibleNodeError(f"{channels} channels have no groups")
    groups = writer.choices.one_of(divisors)
    shape = [-1, groups, channels // groups, height, width]
    y = writer.add("Reshape", x, writer.const(shape, np.int64))
    y = writer.add("Transpose", y, perm=[0, 2, 1, 3, 4])
    return writer.add("Reshape", y, writer.const([-1, channels, height, width], np.int64))


def _write_resize(writer: Writer, x: str) -> str:
    channels, height, width = writer.image(x)
    choices = writer.choices
    by = [choices.integer(1, 2), choices.integer(1, 3)]
    scales = writer.const([1, 1, *by])
    if writer.opset < AXES_AS_INPUT["Resize"]:
        return writer.add("Resize", x, scales, mode="nearest")
    options: dict[str, Any] = {"mode": "nearest"}
    if writer.chance(70):
        options["coordinate_transformation_mode"] = choices.one_of(["asymmetric", "half_pixel"])
        if options["coordinate_transformation_mode"] == "asymmetric":
            options["nearest_mode"] = "floor"
    if writer.chance(30):
        options["mode"] = "linear"
        options.pop("nearest_mode", None)
        if not writer.rarely(2):
            options["coordinate_transformation_mode"] = "half_pixel"
        writer.dyadic &= by[1] < 3
    empty = "" if writer.opset >= 13 else writer.const(np.zeros(0))
    if writer.chance(30):
        sizes = [len(writer.values[x]), channels, height * by[0], width * by[1]]
        blank = "" if writer.opset >= 13 else writer.const(np.zeros(0))
        return writer.add("Resize", x, empty, blank, writer.const(sizes, np.int64), **options)
    return writer.add("Resize", x, empty, scales, **options)


def _write_depth_to_space(writer: Writer, x: str) -> str:
    options: dict[str, Any] = {"blocksize": 2}
    if writer.opset >= MODES_SINCE and writer.chance(60):
        options["mode"] = writer.choices.one_of(["DCR", "CRD"])
    return writer.add("DepthToSpace", x, **options)
