"""Pooling nodes."""

from collections.abc import Sequence
from dataclasses import replace

from systolith.exchange.errors import ExchangeError
from systolith.exchange.file.model_file import Node
from systolith.exchange.layers.draft import Draft
from systolith.exchange.layers.operands import (
    activation_of,
    integer_constants_of,
    ordered_activation_of,
    read_dilation,
    read_window,
    round_up,
    take_padding,
)
from systolith.exchange.layers.plain import append_layer, make_average
from systolith.exchange.nodes.shapes import flatten_image
from systolith.exchange.values.layouts import axes_of, inner_shape, move_elements
from systolith.exchange.values.value import Absent, PendingLayer, QuantizedActivation, Value
from systolith.network import Layer, MaxPool2d, reach_of

__all__ = [
    "read_average_pool",
    "read_global_average_pool",
    "read_global_max_pool",
    "read_max_pool",
    "read_reduce_mean",
]


def read_max_pool(node: Node, values: Sequence[Value], draft: Draft) -> Value:
    """Read MaxPool, before or after a quantizer: both give the same."""
    kernel, dilation, x = _kernel(node), read_dilation(node), _readable(values[0], draft)
    reach, shape = reach_of(kernel, dilation), inner_shape(x)
    stride, padding, problems = read_window(node, reach, shape)
    if problems:
        raise ExchangeError(problems)
    padding = round_up(node, reach, stride, padding, shape)

    def follow(name: str, source: str) -> Layer:
        return MaxPool2d(
            name=name,
            input=source,
            kernel_size=kernel,
            stride=stride,
            padding=padding,
            dilation=dilation,
        )

    return append_layer(node, x, follow, draft)


def read_global_max_pool(node: Node, values: Sequence[Value], draft: Draft) -> Value:
    """Read GlobalMaxPool: a window as large as the image."""
    x = _readable(values[0], draft)
    shape = inner_shape(x)
    if len(shape) != 3:
        raise ExchangeError.of(f"reads shape {shape}; images (N, C, H, W) are supported")

    def follow(name: str, source: str) -> Layer:
        kernel = (shape[1], shape[2])
        return MaxPool2d(name=name, input=source, kernel_size=kernel, stride=(1, 1))

    return append_layer(node, x, follow, draft)


def _readable(x: Value, draft: Draft) -> QuantizedActivation | PendingLayer:
    """Give the input of a max pool, quantized or not."""
    pending = (
        x if isinstance(x, PendingLayer) and x.places is None else ordered_activation_of(x, draft)
    )
    if isinstance(pending, QuantizedActivation):
        return draft.pad_apart(pending)
    if any(pending.padding):
        raise ExchangeError.of("reads an image padded with zeros; give the pool pads of its own")
    return pending


def read_average_pool(node: Node, values: Sequence[Value], draft: Draft) -> Value:
    """Read AveragePool; padding of a Pad before it is part of the image that is averaged."""
    kernel = _kernel(node)
    x = take_padding(node, ordered_activation_of(values[0], draft), kernel, draft)
    stride, own, problems = read_window(node, kernel, x.tensor.shape, x.padding)
    if problems:
        raise ExchangeError(problems)
    padding = round_up(node, kernel, stride, own, x.tensor.shape)
    counted = own if node.attributes["count_include_pad"] else x.padding
    x = draft.include_zero(x) if any(padding) else x
    return make_average(node, x, kernel, stride, padding, None if counted == padding else counted)


def read_global_average_pool(node: Node, values: Sequence[Value], draft: Draft) -> Value:
    """Read GlobalAveragePool."""
    x = draft.pad_apart(ordered_activation_of(values[0], draft))
    if len(x.tensor.shape) != 3:
        raise ExchangeError.of(f"reads shape {x.tensor.shape}; images (N, C, H, W) are supported")
    return make_average(node, x, None, (1, 1), (0, 0, 0, 0))


def read_reduce_mean(node: Node, values: Sequence[Value], draft: Draft) -> Value:
    """Read ReduceMean over height and width."""
    axes = node.attributes["axes"]
    if not isinstance(values[1], Absent):
        axes = integer_constants_of(values[1], "axes")
    if not axes and node.attributes["noop_with_empty_axes"]:
        return values[0]
    x = activation_of(values[0], draft)
    order = axes_of(x)
    inner = [] if order is None else [order[axis % 4 - 1] for axis in axes or [] if axis % 4]
    if order is None or len(order) != 3 or len(axes or []) != 2 or sorted(inner) != [1, 2]:
        raise ExchangeError.of(f"averages over axes {axes}; height and width are supported")
    result = read_global_average_pool(node, [replace(x, places=None)], draft)
    if not node.attributes["keepdims"]:
        return flatten_image(node, result, draft)
    return move_elements(result, lambda pixel: pixel.transpose(order))


def _kernel(node: Node) -> tuple[int, int]:
    kernel = [int(size) for size in node.attributes["kernel_shape"] or []]
    if len(kernel) != 2 or min(kernel) < 1:
        raise ExchangeError.of(
            f"has kernel_shape {kernel}; two sizes of 1 or more are supported: height and width"
        )
    return kernel[0], kernel[1]
