"""Nodes that join, split, select and rearrange channels."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from systolith.exchange.errors import ExchangeError
from systolith.exchange.file.model_file import Node
from systolith.exchange.layers.draft import Draft
from systolith.exchange.layers.functions import gather_values
from systolith.exchange.layers.moves import join_activations, moving_layers
from systolith.exchange.layers.operands import (
    constant_of,
    integer_constants_of,
    is_constant,
    ordered_activation_of,
)
from systolith.exchange.layers.plain import append_layer
from systolith.exchange.nodes.geometry import append_pad, crop_image
from systolith.exchange.nodes.integers import quantize_integers
from systolith.exchange.nodes.shapes import flatten_image
from systolith.exchange.values.layouts import inner_shape, move_elements, places_of, shape_of
from systolith.exchange.values.value import (
    Absent,
    Integers,
    Joined,
    ModelInput,
    Move,
    Parts,
    PendingLayer,
    QuantizedActivation,
    Value,
)
from systolith.network import Shape

__all__ = [
    "join_values",
    "read_concat",
    "read_depth_to_space",
    "read_gather",
    "read_slice",
    "read_space_to_depth",
    "read_split",
]


def read_concat(node: Node, values: Sequence[Value], draft: Draft) -> Value:
    """Read Concat of channels; different scales need a quantizer behind it."""
    if any(is_constant(value) for value in values):
        raise ExchangeError.of("joins constants and activations; activations are supported")
    shape = shape_of(values[0])
    if shape is None:
        raise ExchangeError.of("joins what is not known; activations are supported")
    axis = int(node.attributes["axis"])
    if axis + (1 + len(shape)) * (axis < 0) != 1:
        raise ExchangeError.of(f"joins along axis {axis}; axis 1, that of the channels, is needed")
    return join_values(node, values, draft)


def join_values(node: Node, values: Sequence[Value], draft: Draft) -> Value:
    """Join values if they have one scale; otherwise wait for the quantizer behind them."""
    if len(values) == 1:
        return values[0]
    if all(isinstance(value, Integers) for value in values):
        given = [value for value in values if isinstance(value, Integers)]
        first = given[0]
        if any(value.quantizer != first.quantizer for value in given):
            raise ExchangeError.of("joins integers of several scales or zero points; one is needed")
        real = [quantize_integers(node, value, draft) for value in given]
        joined = _join(node, real, draft)
        assert isinstance(joined, QuantizedActivation)
        return replace(first, of=joined)
    return _join(node, values, draft)


def _join(node: Node, values: Sequence[Value], draft: Draft) -> Value:
    if all(map(_is_sequence, values)):
        images = [move_elements(value, lambda places: places[:, None]) for value in values]
        joined = _join(node, images, draft)
        if isinstance(joined, Joined):
            return Joined(parts=tuple(values))
        return move_elements(joined, lambda places: places[:, 0])
    parts: list[QuantizedActivation | PendingLayer] = []
    for value in values:
        pending = isinstance(value, PendingLayer) and value.places is None
        parts.append(value if pending else ordered_activation_of(value, draft))  # type: ignore[arg-type]
    quantized = [part for part in parts if isinstance(part, QuantizedActivation)]
    whole = join_activations(node, quantized, draft) if len(quantized) == len(parts) else None
    return Joined(parts=tuple(parts)) if whole is None else whole


def read_split(node: Node, values: Sequence[Value], draft: Draft) -> Value:
    """Read Split along any axis but the batch."""
    shape = _shape(values[0])
    axis = _axis(int(node.attributes["axis"]), shape)
    size, count = shape[axis], len(node.outputs)
    if isinstance(values[1], Absent):
        largest = -(-size // count)
        sizes = node.attributes["split"] or [
            min(largest, size - largest * number) for number in range(count)
        ]
    else:
        sizes = integer_constants_of(values[1], "sizes")
    if len(sizes) != count or sum(sizes) != size or min(sizes) < 1:
        raise ExchangeError.of(f"splits {size} into {list(sizes)} for {count} outputs")
    ends = np.cumsum(sizes)
    return Parts(
        values=tuple(
            _move(node, values[0], _taking(np.arange(end - part, end), axis), draft)
            for part, end in zip(sizes, ends, strict=True)
        )
    )


def read_slice(node: Node, values: Sequence[Value], draft: Draft) -> Value:
    """Read Slice of an image."""
    shape = _shape(values[0])
    if isinstance(values[1], Absent):
        starts, ends = node.attributes["starts"] or [], node.attributes["ends"] or []
        axes = node.attributes["axes"] or list(range(len(starts)))
        steps = [1] * len(starts)
    else:
        starts, ends = (integer_constants_of(values[place], "bounds") for place in (1, 2))
        given = [
            None if isinstance(values[place], Absent) else integer_constants_of(values[place], what)
            for place, what in ((3, "axes"), (4, "steps"))
        ]
        axes = given[0] or list(range(len(starts)))
        steps = given[1] or [1] * len(starts)
    slices = [slice(None)] * len(shape)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        # An end below -size, with a negative step, stands for the start of the axis.
        place = _axis(axis, shape)
        before = end if step > 0 or end >= -shape[place] else None
        slices[place] = slice(start, before, step)
    kept = [range(*part.indices(size)) for part, size in zip(slices, shape, strict=True)]
    if len(kept) == 2 and len(kept[0]) == shape[0] and kept[1].step == 1 and kept[1]:
        return _cut(node, values[0], kept[1], draft)
    if len(kept) == 3 and len(kept[0]) == shape[0] and all(part.step == 1 for part in kept):
        return crop_image(node, values, draft)
    return _move(node, values[0], lambda places: places[tuple(slices)], draft)


def read_gather(node: Node, values: Sequence[Value], draft: Draft) -> Value:
    """Read Gather with constant indices."""
    if is_constant(values[0]):
        return gather_values(node, values, draft)
    shape = _shape(values[0])
    axis = _axis(int(node.attributes["axis"]), shape)
    if not is_constant(values[1]):
        raise ExchangeError.of("has indices that the model computes; constants are supported")
    indices = np.array(integer_constants_of(values[1], "indices"))
    taken = _take(node, values[0], indices, axis, draft)
    if constant_of(values[1], "indices").ndim:
        return taken
    if len(shape) == 2:
        return flatten_image(node, taken, draft)
    return move_elements(taken, lambda places: places.squeeze(axis))


def _take(node: Node, x: Value, indices: np.ndarray, axis: int, draft: Draft) -> Value:
    """Take channels, or one place of a sequence."""
    shape = _shape(x)
    if len(shape) == 2 and axis == 1 and indices.size == 1:
        place = int(indices[0])
        if not -shape[1] <= place < shape[1]:
            raise ExchangeError.of(f"takes place {place} of {shape[1]}")
        return _cut(node, x, range(place % shape[1], place % shape[1] + 1), draft)
    return _move(node, x, _taking(indices, axis), draft)


def read_depth_to_space(node: Node, values: Sequence[Value], draft: Draft) -> Value:
    """Read DepthToSpace in both modes."""
    block, inner = int(node.attributes["blocksize"]), node.attributes["mode"] == "CRD"
    channels, height, width = _image(values[0])
    if channels % block**2:
        raise ExchangeError.of(f"makes blocks of {block} x {block} of {channels} channels")

    def spread(values: np.ndarray) -> np.ndarray:
        parts = (-1, block, block) if inner else (block, block, -1)
        order = (0, 3, 1, 4, 2) if inner else (2, 3, 0, 4, 1)
        moved = values.reshape(*parts, height, width).transpose(order)
        return moved.reshape(-1, height * block, width * block)

    return _move(node, values[0], spread, draft)


def read_space_to_depth(node: Node, values: Sequence[Value], draft: Draft) -> Value:
    """Read SpaceToDepth."""
    block = int(node.attributes["blocksize"])
    channels, height, width = _image(values[0])
    if height % block or width % block:
        raise ExchangeError.of(f"makes blocks of {block} x {block} of {height} x {width} pixels")

    def gather(values: np.ndarray) -> np.ndarray:
        parts = values.reshape(channels, height // block, block, width // block, block)
        return parts.transpose(2, 4, 0, 1, 3).reshape(-1, height // block, width // block)

    return _move(node, values[0], gather, draft)


def _taking(indices: np.ndarray, axis: int) -> Move:
    return lambda places: places.take(indices, axis)


def _cut(node: Node, x: Value, kept: range, draft: Draft) -> Value:
    """Cut the ends of a sequence off."""
    if isinstance(x, ModelInput) and x.quantizer is None:
        return x.move(lambda places: places[:, kept.start : kept.stop])
    if isinstance(x, ModelInput):
        x = draft.read_input(x)
    image = move_elements(x, lambda places: places[:, None])
    assert isinstance(image, QuantizedActivation | PendingLayer)
    sides = (0, 0, -kept.start, kept.stop - inner_shape(image)[-1])
    cut = append_pad(node, image, sides, 0.0, draft) if any(sides) else image
    return move_elements(cut, lambda places: places[:, 0])


def _move(node: Node, x: Value, by: Move, draft: Draft) -> Value:
    """Move values of an activation, and make the layers that do so."""
    if isinstance(x, ModelInput) and x.quantizer is None:
        return x.move(by)
    if _is_sequence(x):
        image = move_elements(x, lambda places: places[:, None])
        moved = _move(node, image, lambda places: by(places[:, 0])[:, None], draft)
        return move_elements(moved, lambda places: places[:, 0])
    if not (isinstance(x, PendingLayer) and x.places is None):
        x = ordered_activation_of(x, draft)
    assert isinstance(x, PendingLayer | QuantizedActivation)
    if any(x.padding):
        raise ExchangeError.of("moves a padded image; pad the result")
    try:
        places = by(places_of(x))
    except (IndexError, ValueError) as error:
        raise ExchangeError.of(f"moves values that do not exist: {error}") from None
    layers = moving_layers(places, inner_shape(x)) if places.size else None
    if layers is None:
        raise ExchangeError.of(
            f"makes shape {places.shape} of {inner_shape(x)} in a way that no layer does; whole "
            "channels, and blocks of pixels made channels, are supported"
        )
    result: Value = x
    for layer in layers:
        assert isinstance(result, PendingLayer | QuantizedActivation)
        result = append_layer(node, result, layer, draft)
    return replace(result, reordered=True) if isinstance(result, PendingLayer) else result


def _is_sequence(x: Value) -> bool:
    """Whether a value is an image of one row without the axis of the rows."""
    if not isinstance(x, QuantizedActivation | PendingLayer) or x.places is None:
        return False
    own = inner_shape(x)
    return (
        len(own) == 3
        and x.places.shape == (own[0], own[2])
        and np.array_equal(x.places.ravel(), np.arange(x.places.size))
    )


def _shape(x: Value) -> Shape:
    shape = shape_of(x)
    if shape is None:
        raise ExchangeError.of("moves what is not known; activations are supported")
    return shape


def _image(x: Value) -> Shape:
    shape = _shape(x)
    if len(shape) != 3:
        raise ExchangeError.of(f"reads shape (N, {', '.join(map(str, shape))}); images are needed")
    return shape


def _axis(axis: int, shape: Shape) -> int:
    """Convert an axis of a batch to one of an image."""
    axis += (1 + len(shape)) * (axis < 0)
    if not 1 <= axis <= len(shape):
        raise ExchangeError.of(f"works along axis {axis}; the batch must stay as it is")
    return axis - 1
