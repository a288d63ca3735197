"""Adapters that let handlers of (N, C, H, W) read other layouts: one axis, and channels last."""

from collections.abc import Sequence
from dataclasses import replace

from systolith.exchange.errors import ExchangeError
from systolith.exchange.file.model_file import Node
from systolith.exchange.layers.draft import Draft
from systolith.exchange.layers.functions import combine_functions
from systolith.exchange.nodes.constants import reorder_constant
from systolith.exchange.nodes.declarations import Handler
from systolith.exchange.values.layouts import move_elements, shape_of
from systolith.exchange.values.value import Constant, QuantizedConstant, Value

__all__ = ["adapt_channels_last", "adapt_functions", "adapt_one_axis"]

ACROSS = {"dilations": 1, "kernel_shape": 1, "output_padding": 0, "pads": 0, "strides": 1}
"""Window attributes along the inserted axis of size 1."""


def adapt_one_axis(run: Handler) -> Handler:
    """Let a handler of images also read sequences (N, C, L), as images of one row."""

    def handler(node: Node, values: Sequence[Value], draft: Draft) -> Value:
        shape = shape_of(values[0])
        if shape is None or len(shape) != 2:
            return run(node, values, draft)
        channels, length = shape
        image = move_elements(values[0], lambda parts: parts.reshape(channels, 1, length))
        result = run(_insert_row_attributes(node), [image, *map(_insert_row, values[1:])], draft)
        wide = shape_of(result)
        if wide is None or len(wide) != 3:
            return result
        return move_elements(result, lambda parts: parts.reshape(wide[0], wide[2]))

    return handler


def _insert_row_attributes(node: Node) -> Node:
    """Give windows a height of 1."""
    attributes = dict(node.attributes)
    for name, across in ACROSS.items():
        given = attributes.get(name)
        if isinstance(given, list) and len(given) == 1 + (name == "pads"):
            attributes[name] = [value for size in given for value in (across, size)]
    return replace(node, attributes=attributes)


def _insert_row(value: Value) -> Value:
    """Give kernels a height of 1."""
    match value:
        case Constant(values=kernel) if kernel.ndim == 3:
            return replace(value, values=kernel[:, :, None])
        case QuantizedConstant(integers=kernel, scale=scale) if kernel.ndim == 3:
            return replace(value, integers=kernel[:, :, None], scale=scale[:, :, None])
        case _:
            return value


def adapt_functions(run: Handler) -> Handler:
    """Let a handler of arithmetic also compute functions of one activation, as tables."""

    def handler(node: Node, values: Sequence[Value], draft: Draft) -> Value:
        made = combine_functions(node, values, draft)
        return run(node, values, draft) if made is None else made

    return handler


KERNEL = (0, 3, 1, 2)
"""Order of the axes of a kernel (filters, height, width, channels) with channels second."""


def adapt_channels_last(run: Handler) -> Handler:
    """Let a handler of images read and give tensors (N, H, W, C)."""

    def handler(node: Node, values: Sequence[Value], draft: Draft) -> Value:
        shape = shape_of(values[0])
        if shape is None or len(shape) != 3:
            raise ExchangeError.of(f"reads shape {shape}; images (N, H, W, C) are supported")
        image = move_elements(values[0], lambda parts: parts.transpose(2, 0, 1))
        others = [reorder_constant(value, KERNEL) for value in values[1:]]
        result = run(node, [image, *others], draft)
        return move_elements(result, lambda parts: parts.transpose(1, 2, 0))

    return handler
