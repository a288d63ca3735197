"""Layers along one axis, (N, C, L): the same layers of images with one row."""

from collections.abc import Sequence
from dataclasses import replace

from systolith.exchange.building import Building
from systolith.exchange.declarations import Handler
from systolith.exchange.layouts import moved, shape_of
from systolith.exchange.model_file import Node
from systolith.exchange.values import Constant, QuantizedConstant, Value

__all__ = ["along_one_axis"]

ACROSS = {"dilations": 1, "kernel_shape": 1, "pads": 0, "strides": 1}
"""What windows are across the axis that is put in."""


def along_one_axis(run: Handler) -> Handler:
    """Let a handler for images of height and width read sequences, too."""

    def handler(node: Node, values: Sequence[Value], made: Building) -> Value:
        shape = shape_of(values[0])
        if shape is None or len(shape) != 2:
            return run(node, values, made)
        channels, length = shape
        image = moved(values[0], lambda parts: parts.reshape(channels, 1, length))
        result = run(_of_rows(node), [image, *map(_with_a_row, values[1:])], made)
        wide = shape_of(result)
        if wide is None or len(wide) != 3:
            return result
        return moved(result, lambda parts: parts.reshape(wide[0], wide[2]))

    return handler


def _of_rows(node: Node) -> Node:
    """Give windows a height of 1."""
    found = dict(node.attributes)
    for name, across in ACROSS.items():
        given = found.get(name)
        if isinstance(given, list) and len(given) == 1 + (name == "pads"):
            found[name] = [each for size in given for each in (across, size)]
    return replace(node, attributes=found)


def _with_a_row(value: Value) -> Value:
    """Give kernels a height of 1."""
    match value:
        case Constant(values=kernel) if kernel.ndim == 3:
            return replace(value, values=kernel[:, :, None])
        case QuantizedConstant(integers=kernel, scale=scale) if kernel.ndim == 3:
            return replace(value, integers=kernel[:, :, None], scale=scale[:, :, None])
        case _:
            return value
