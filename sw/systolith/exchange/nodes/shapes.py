"""Nodes that move values or do not change them."""

from collections.abc import Sequence
from dataclasses import replace
from math import prod

import numpy as np

from systolith.exchange.errors import ExchangeError
from systolith.exchange.file.model_file import Node
from systolith.exchange.layers.draft import Draft
from systolith.exchange.layers.operands import (
    constant_of,
    integer_constants_of,
    is_moved_by_layers,
    ordered_activation_of,
)
from systolith.exchange.layers.plain import append_layer
from systolith.exchange.nodes.geometry import append_border, append_pad
from systolith.exchange.values.layouts import (
    axes_of,
    inner_shape,
    move_elements,
    pad_input,
    shape_of,
)
from systolith.exchange.values.value import (
    Absent,
    ModelInput,
    PendingLayer,
    QuantizedActivation,
    Value,
)
from systolith.network import Flatten, Shape, add_padding

__all__ = [
    "crop_input",
    "flatten_image",
    "pads_of",
    "read_dropout",
    "read_flatten",
    "read_identity",
    "read_pad",
    "read_reshape",
    "read_squeeze",
    "read_transpose",
    "read_unsqueeze",
]


def read_identity(node: Node, values: Sequence[Value], draft: Draft) -> Value:
    """Read a node that changes nothing."""
    return values[0]


def read_dropout(node: Node, values: Sequence[Value], draft: Draft) -> Value:
    """Read Dropout, which drops nothing in inference."""
    training = values[2]
    if not isinstance(training, Absent) and constant_of(training, "training_mode").any():
        raise ExchangeError.of("drops values, as its training_mode is true; false is supported")
    return values[0]


def read_flatten(node: Node, values: Sequence[Value], draft: Draft) -> Value:
    """Read Flatten from the channels on."""
    shape = _shape(values[0])
    axis = int(node.attributes["axis"])
    axis += (1 + len(shape)) * (axis < 0)
    if axis < 1 or prod(shape[: axis - 1]) != 1:
        raise ExchangeError.of(
            f"flattens {_tensor(shape)} from axis {axis}; axis 1 is supported: one row an image"
        )
    return flatten_image(node, values[0], draft)


def flatten_image(node: Node, x: Value, draft: Draft) -> Value:
    """Make a vector of each image."""
    return _reshape(node, x, (prod(_shape(x)),), draft)


def read_reshape(node: Node, values: Sequence[Value], draft: Draft) -> Value:
    """Read Reshape of each image."""
    shape = _shape(values[0])
    sizes = integer_constants_of(values[1], "a shape")
    wanted = _target_shape(sizes, shape, allow_zero=bool(node.attributes["allowzero"]))
    return _reshape(node, values[0], wanted, draft)


def _target_shape(sizes: list[int], shape: Shape, *, allow_zero: bool) -> Shape:
    """Compute the shape of one result."""
    elements = prod(shape)
    kept = [
        shape[axis - 1] if size == 0 and not allow_zero and axis <= len(shape) else size
        for axis, size in enumerate(sizes)
        if axis
    ]
    known = prod(size for size in kept if size != -1)
    if kept.count(-1) == 1 and sizes[0] != -1 and known > 0 and elements % known == 0:
        kept[kept.index(-1)] = elements // known
    if not kept or min(kept) < 1 or prod(kept) != elements:
        raise ExchangeError.of(
            f"gives shape {tuple(sizes)} to {_tensor(shape)}, which mixes images of a "
            f"batch; (-1, {elements}) makes a vector of each"
        )
    return tuple(kept)


def read_squeeze(node: Node, values: Sequence[Value], draft: Draft) -> Value:
    """Read Squeeze of named axes other than the batch."""
    shape = _shape(values[0])
    axes = _axes(node, values, 1 + len(shape))
    if any(shape[axis - 1] != 1 for axis in axes):
        raise ExchangeError.of(f"squeezes axes {axes} of {_tensor(shape)}, which are not all 1")
    wanted = tuple(size for axis, size in enumerate(shape, 1) if axis not in axes)
    return _reshape(node, values[0], wanted, draft)


def read_unsqueeze(node: Node, values: Sequence[Value], draft: Draft) -> Value:
    """Read Unsqueeze of axes after the batch."""
    shape = list(_shape(values[0]))
    given = node.attributes["axes"] if isinstance(values[1], Absent) else values[1]
    count = len(given) if isinstance(given, list) else len(integer_constants_of(values[1], "axes"))
    for axis in _axes(node, values, 1 + len(shape) + count):
        shape.insert(axis - 1, 1)
    return _reshape(node, values[0], tuple(shape), draft)


def _axes(node: Node, values: Sequence[Value], rank: int) -> list[int]:
    """Read axes, sorted, in 1..rank-1."""
    if isinstance(values[1], Absent):
        given = [int(axis) for axis in node.attributes["axes"] or []]
    else:
        given = integer_constants_of(values[1], "axes")
    axes = sorted(axis + rank * (axis < 0) for axis in given)
    if not axes or axes[0] < 1 or axes[-1] >= rank or len(set(axes)) != len(axes):
        named = f"axes {given}" if given else "no axes, so the batch's where its size is 1"
        raise ExchangeError.of(f"names {named}; different axes of 1..{rank - 1} are supported")
    return axes


def _reshape(node: Node, x: Value, wanted: Shape, draft: Draft) -> Value:
    if isinstance(x, ModelInput) and x.quantizer is not None and len(wanted) == 1 and _as_given(x):
        x = draft.read_input(x)
    moved = move_elements(x, lambda values: values.reshape(wanted))
    if not isinstance(moved, QuantizedActivation | PendingLayer) or moved.places is None:
        return moved
    inner = inner_shape(moved)
    if (
        len(inner) == 3
        and len(wanted) == 1
        and np.array_equal(moved.places, np.arange(prod(inner)))
    ):
        plain = replace(moved, places=None)
        return append_layer(
            node, plain, lambda name, source: Flatten(name=name, input=source), draft
        )
    return moved


def _as_given(x: ModelInput) -> bool:
    """Whether images still have the file's own shape (C, H, W)."""
    same = np.array_equal(x.places, np.arange(prod(x.image)).reshape(x.image))
    return len(x.image) == 3 and same


def read_transpose(node: Node, values: Sequence[Value], draft: Draft) -> Value:
    """Read Transpose within an image, such as channels last to channels first."""
    shape = _shape(values[0])
    order = node.attributes["perm"] or list(range(len(shape), -1, -1))
    if sorted(order) != list(range(1 + len(shape))) or order[0] != 0:
        raise ExchangeError.of(
            f"reorders the axes of {_tensor(shape)} by {tuple(order)}; the batch must stay first"
        )
    return move_elements(values[0], lambda parts: parts.transpose([axis - 1 for axis in order[1:]]))


def read_pad(node: Node, values: Sequence[Value], draft: Draft) -> Value:
    """Read Pad: zeros for the layer behind, a layer of its own, or any padding by the host."""
    x = values[0]
    fill, edge = float(node.attributes["value"] or 0.0), node.attributes["mode"] == "edge"
    if not isinstance(values[2], Absent):
        fill = float(constant_of(values[2], "fill values").reshape(-1)[0])
    pads = pads_of(node, values, len(_shape(x)))
    if isinstance(x, ModelInput) and x.quantizer is None:
        x, pads = crop_input(x, pads)
        if edge:
            return x.move(lambda pixels: np.pad(pixels, pads, mode="edge"))
        return pad_input(x, pads, fill) if any(map(any, pads)) else x
    if not any(map(any, pads)):
        return x
    if isinstance(x, ModelInput):
        x = draft.read_input(x)
    assert isinstance(x, QuantizedActivation | PendingLayer)
    axes = axes_of(x)
    if axes is None and isinstance(x, QuantizedActivation) and is_moved_by_layers(x):
        x = ordered_activation_of(x, draft)
        axes = axes_of(x)
    if axes is None or len(axes) != 3:
        raise ExchangeError.of(
            "pads what was reshaped; pad images (N, C, H, W), before that or after"
        )
    inner = [pads[axes.index(axis)] for axis in range(3)]
    if any(inner[0]):
        raise ExchangeError.of(f"pads channels by {inner[0]}; height and width are supported")
    padding = (*inner[1], *inner[2])
    if edge:
        return append_border(node, x, padding, draft)
    if fill or min(padding) < 0:
        return append_pad(node, x, padding, fill, draft)
    if isinstance(x, PendingLayer) and not x.low <= 0 <= x.high:
        raise ExchangeError.of("pads with zeros what was cut off above or below zero; cut it after")
    return replace(x, padding=add_padding(x.padding, padding))


def crop_input(
    x: ModelInput, pads: list[tuple[int, int]]
) -> tuple[ModelInput, list[tuple[int, int]]]:
    """Let the host cut off what negative pads say; give what is left to add."""
    cuts = tuple(
        slice(max(-before, 0), size - max(-after, 0))
        for size, (before, after) in zip(x.places.shape, pads, strict=True)
    )
    added = [(max(before, 0), max(after, 0)) for before, after in pads]
    return x.move(lambda pixels: pixels[cuts]), added


def pads_of(node: Node, values: Sequence[Value], rank: int) -> list[tuple[int, int]]:
    """Read the padding before and after each axis of an image.

    Raises
    ------
    ExchangeError
        If the batch is padded, or axes do not fit.
    """
    if isinstance(values[1], Absent):
        given = [int(by) for by in node.attributes["pads"] or []]
    else:
        given = integer_constants_of(values[1], "pads")
    axes = list(range(1 + rank))
    if not isinstance(values[3], Absent):
        axes = [axis % (1 + rank) for axis in integer_constants_of(values[3], "axes")]
    if len(given) != 2 * len(axes) or len(set(axes)) != len(axes):
        raise ExchangeError.of(f"has pads {given} for axes {axes}; two for each axis are needed")
    before, after = given[: len(axes)], given[len(axes) :]
    by_axis = {axis: pair for axis, *pair in zip(axes, before, after, strict=True)}
    if any(by_axis.get(0, [0, 0])):
        raise ExchangeError.of(f"has pads {given}; none of the batch are supported")
    return [
        (pair[0], pair[1]) for axis in range(1, 1 + rank) for pair in [by_axis.get(axis, [0, 0])]
    ]


def _shape(x: Value) -> Shape:
    shape = shape_of(x)
    if shape is None:
        raise ExchangeError.of("moves a constant that cannot be worked out; write it as it is read")
    return shape


def _tensor(shape: Shape) -> str:
    return f"(N, {', '.join(map(str, shape))})"
