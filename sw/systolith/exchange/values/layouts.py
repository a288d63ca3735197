"""Reshaping, reordering and padding of values, which commute with quantizing."""

from dataclasses import replace
from itertools import permutations
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from systolith.exchange.errors import ExchangeError
from systolith.exchange.values.quantizer import FloatArray, InputStep
from systolith.exchange.values.value import (
    Integers,
    Joined,
    ModelInput,
    Move,
    PendingFunction,
    PendingLayer,
    PendingTable,
    QuantizedActivation,
    Value,
)
from systolith.network import IntArray, Shape

__all__ = [
    "Move",
    "axes_of",
    "channel_constants",
    "drop_batch_axis",
    "file_order",
    "inner_shape",
    "move_elements",
    "pad_input",
    "places_of",
    "shape_of",
]


def inner_shape(x: QuantizedActivation | PendingLayer) -> Shape:
    """Give the shape in the network, without the batch."""
    return x.tensor.shape if isinstance(x, QuantizedActivation) else x.result


def places_of(x: QuantizedActivation | PendingLayer | ModelInput) -> IntArray:
    """Give the index of each element of the file's tensor in the layer's tensor or the image."""
    if x.places is not None:
        return x.places
    assert not isinstance(x, ModelInput)
    shape = inner_shape(x)
    return np.arange(prod(shape)).reshape(shape)


def shape_of(x: Value) -> Shape | None:
    """Give the shape in the file, without the batch; None for constants and unknown values."""
    match x:
        case ModelInput():
            return x.places.shape
        case QuantizedActivation() | PendingLayer():
            return _padded_shape(x)
        case Integers() | PendingTable() | PendingFunction():
            return shape_of(x.of)
        case Joined(parts=parts):
            shapes = [shape_of(part) or () for part in parts]
            return sum(shape[0] for shape in shapes), *shapes[0][1:]
        case _:
            return None


def _padded_shape(x: QuantizedActivation | PendingLayer) -> Shape:
    shape, (top, bottom, left, right) = inner_shape(x), x.padding
    axes = axes_of(x) if any(x.padding) else None
    if axes is None:
        return shape if x.places is None else x.places.shape
    padded = (shape[0], shape[1] + top + bottom, shape[2] + left + right)
    return tuple(padded[axis] for axis in axes)


def axes_of(x: QuantizedActivation | PendingLayer) -> tuple[int, ...] | None:
    """Give the layer's axis for each axis of the file's tensor; None if it was reshaped."""
    shape = inner_shape(x)
    if x.places is None:
        return tuple(range(len(shape)))
    plain = np.arange(prod(shape)).reshape(shape)
    for order in permutations(range(len(shape))):
        turned = plain.transpose(order)
        if turned.shape == x.places.shape and np.array_equal(turned, x.places):
            return order
    return None


def move_elements(x: Value, by: Move) -> Value:
    """Reorder or reshape a value that is not constant.

    Raises
    ------
    ExchangeError
        If it is constant, or reshaped after padding.
    """
    match x:
        case Integers():
            of = move_elements(x.of, by)
            assert isinstance(of, ModelInput | QuantizedActivation | PendingLayer | PendingFunction)
            return replace(x, of=of)
        case ModelInput():
            return x.move(by)
        case PendingTable():
            moved = move_elements(x.of, by)
            assert isinstance(moved, QuantizedActivation)
            return replace(x, of=moved)
        case PendingFunction():
            reordered = move_elements(x.of, by)
            assert isinstance(reordered, PendingLayer)
            return replace(x, of=reordered)
        case QuantizedActivation() | PendingLayer():
            return _move_result(x, by)
        case _:
            raise ExchangeError.of("moves what is neither an activation nor a constant")


def _move_result(
    x: QuantizedActivation | PendingLayer, by: Move
) -> QuantizedActivation | PendingLayer:
    shape = inner_shape(x)
    try:
        places = by(places_of(x))
    except ValueError:
        if not any(x.padding):
            raise
        raise ExchangeError.of("reshapes a padded image; pad it right before the layer") from None
    same = places.shape == shape and np.array_equal(places.ravel(), np.arange(prod(shape)))
    return replace(x, places=None if same else places)


def pad_input(x: ModelInput, pads: list[tuple[int, int]], fill: float) -> ModelInput:
    """Pad the model's input before the network reads it.

    Raises
    ------
    ExchangeError
        If `fill` lies outside bounds that values were clipped to before.
    """
    if not x.low <= fill <= x.high:
        raise ExchangeError.of(f"pads with {fill:g} what was cut to {x.low:g}..{x.high:g} before")

    def wider(values: NDArray[Any], neutral: float) -> NDArray[Any]:
        return np.pad(values, pads, constant_values=neutral)

    places = wider(x.places, -1)
    steps = [
        step
        if step.values.size == 1
        else replace(
            step,
            values=wider(
                np.broadcast_to(step.values, x.places.shape), float(step.op in ("Mul", "Div"))
            ),
        )
        for step in x.steps
    ]
    new = wider(np.zeros(x.places.shape, dtype=np.float64), 1.0)
    if x.steps or fill:
        # Padding starts from 0 and skips the steps before.
        steps = [_skip_padding(step, new) for step in steps]
        steps.append(InputStep(op="Add", values=new * fill))
    return replace(x, places=places, steps=tuple(steps))


def _skip_padding(step: InputStep, new: FloatArray) -> InputStep:
    """Give a step the neutral constant at the padding."""
    nothing = float(step.op in ("Mul", "Div"))
    return replace(step, values=np.where(new > 0, nothing, step.values))


def file_order(values: NDArray[Any], places: IntArray | None) -> NDArray[Any]:
    """Bring a layer's results, shape (N, *shape), into the file's order."""
    return values if places is None else values.reshape(len(values), -1)[:, places]


def drop_batch_axis(constant: FloatArray, shape: Shape) -> FloatArray:
    """Remove the batch axis of a constant that is combined with tensors of `shape`.

    Raises
    ------
    ExchangeError
        If it does not broadcast to `shape`.
    """
    values = constant
    if values.ndim == 1 + len(shape) and values.shape[0] == 1:
        values = values[0]
    try:
        fits = np.broadcast_shapes(values.shape, shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise ExchangeError.of(
            f"has constants of shape {constant.shape} beside values of shape (N, "
            f"{', '.join(map(str, shape))}); one, or one for each channel, is supported"
        )
    return values


def channel_constants(constant: FloatArray, x: QuantizedActivation | PendingLayer) -> FloatArray:
    """Reduce constants in the file's layout to shape (channels,), or (1,) if all are equal.

    Raises
    ------
    ExchangeError
        If they differ within a channel.
    """
    if constant.size == 1:
        return constant.reshape(1)
    if isinstance(x, PendingLayer) and x.reordered:
        raise ExchangeError.of("has a constant for each channel behind moved ones; put it before")
    shape = shape_of(x)
    assert shape is not None
    full = np.broadcast_to(drop_batch_axis(constant, shape), shape)
    if any(x.padding):
        raise ExchangeError.of("has constants for each channel of a padded image; put it before")
    inner = np.empty(prod(shape))
    inner[places_of(x).ravel()] = full.ravel()
    channels = x.shape[0] if isinstance(x, PendingLayer) else x.tensor.shape[0]
    rows = inner.reshape(channels, -1)
    if (rows != rows[:, :1]).any():
        if len(inner_shape(x)) == 1:
            raise ExchangeError.of(
                "has a constant for each feature of a flattened image; put it before"
            )
        raise ExchangeError.of(
            f"has constants of shape {constant.shape}; one, or one for each channel, is supported"
        )
    constants = rows[:, 0]
    return constants[:1] if (constants == constants[0]).all() else constants
