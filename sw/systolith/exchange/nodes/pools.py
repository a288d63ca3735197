"""Pooling nodes."""

from collections.abc import Callable, Sequence
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
from systolith.exchange.values.layouts import axes_of, inner_shape, move_elements, shape_of
from systolith.exchange.values.value import Absent, PendingLayer, QuantizedActivation, Value
from systolith.network import Layer, MaxPool2d, reach_of

__all__ = [
    "read_average_pool",
    "read_global_average_pool",
    "read_global_max_pool",
    "read_max_pool",
    "read_reduce_max",
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
    """Read ReduceMean over height, width or both."""

    def average(x: QuantizedActivation, kernel: tuple[int, int] | None) -> Value:
        if kernel is None:
            return read_global_average_pool(node, [x], draft)
        return make_average(node, x, kernel, kernel, (0, 0, 0, 0))

    return _reduce(node, values, draft, "averages", average)


def read_reduce_max(node: Node, values: Sequence[Value], draft: Draft) -> Value:
    """Read ReduceMax over height, width or both."""

    def greatest(x: QuantizedActivation, kernel: tuple[int, int] | None) -> Value:
        if kernel is None:
            return read_global_max_pool(node, [x], draft)

        def follow(name: str, source: str) -> Layer:
            return MaxPool2d(name=name, input=source, kernel_size=kernel, stride=kernel)

        return append_layer(node, x, follow, draft)

    return _reduce(node, values, draft, "takes the greatest", greatest)


def _reduce(
    node: Node,
    values: Sequence[Value],
    draft: Draft,
    what: str,
    pool: Callable[[QuantizedActivation, tuple[int, int] | None], Value],
) -> Value:
    """Read a reduction over height, width or both as a pool; a sequence is an image of one row."""
    axes = node.attributes["axes"]
    if not isinstance(values[1], Absent):
        axes = integer_constants_of(values[1], "axes")
    if not axes and node.attributes["noop_with_empty_axes"]:
        return values[0]
    x, axes = draft.pad_apart(activation_of(values[0], draft)), axes or []
    shape = shape_of(x) or ()
    if len(shape) == 2:
        image = move_elements(x, lambda places: places[:, None])
        assert isinstance(image, QuantizedActivation)
        x = image
    order, seen = axes_of(x), [axis % (1 + len(shape)) - 1 for axis in axes]
    inner = [] if order is None else [order[axis + (len(shape) == 2 and axis > 0)] for axis in seen]
    if order is None or len(order) != 3 or min(seen, default=-1) < 0 or not {*inner} <= {1, 2}:
        raise ExchangeError.of(f"{what} over axes {axes}; height and width are supported")
    kernel = [size if axis in inner else 1 for axis, size in enumerate(x.tensor.shape[1:], start=1)]
    whole = tuple(kernel) == x.tensor.shape[1:]
    result = pool(replace(x, places=None), None if whole else (kernel[0], kernel[1]))
    keeps = bool(node.attributes["keepdims"])
    if whole and not keeps:
        return flatten_image(node, result, draft)
    if len(shape) == 2:
        return move_elements(result, lambda pixel: pixel.transpose(order)[:, 0])
    left_out = () if keeps else tuple(seen)
    return move_elements(result, lambda pixel: pixel.transpose(order).squeeze(left_out))


def _kernel(node: Node) -> tuple[int, int]:
    kernel = [int(size) for size in node.attributes["kernel_shape"] or []]
    if len(kernel) != 2 or min(kernel) < 1:
        raise ExchangeError.of(
            f"has kernel_shape {kernel}; two sizes of 1 or more are supported: height and width"
        )
    return kernel[0], kernel[1]
