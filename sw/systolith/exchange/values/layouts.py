"""Moves of values: reshaping, reordering, padding, which commute with quantizing."""

from dataclasses import replace
from itertools import permutations
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from systolith.exchange.errors import ExchangeError
from systolith.exchange.values.quantizer import FloatArray, Step
from systolith.exchange.values.value import (
    Activation,
    Images,
    Integers,
    Move,
    Pending,
    Value,
)
from systolith.network import IntArray, Shape

__all__ = [
    "Move",
    "axes_of",
    "channel_constants",
    "file_order",
    "inner_shape",
    "moved",
    "padded_images",
    "places_of",
    "shape_of",
    "unbatched",
]


def inner_shape(x: Activation | Pending) -> Shape:
    """Shape that the layer has, not the file."""
    return x.tensor.shape if isinstance(x, Activation) else x.result


def places_of(x: Activation | Pending | Images) -> IntArray:
    """Which element of the layer's tensor, or of the image, each element of the file's is."""
    if x.places is not None:
        return x.places
    assert not isinstance(x, Images)
    shape = inner_shape(x)
    return np.arange(prod(shape)).reshape(shape)


def shape_of(x: Value) -> Shape | None:
    """Shape that the file has, without the batch; None for what has none."""
    match x:
        case Images():
            return x.places.shape
        case Activation() | Pending():
            return _padded_shape(x)
        case Integers():
            return shape_of(x.of)
        case _:
            return None


def _padded_shape(x: Activation | Pending) -> Shape:
    shape, (top, bottom, left, right) = inner_shape(x), x.padding
    axes = axes_of(x) if any(x.padding) else None
    if axes is None:
        return shape if x.places is None else x.places.shape
    padded = (shape[0], shape[1] + top + bottom, shape[2] + left + right)
    return tuple(padded[axis] for axis in axes)


def axes_of(x: Activation | Pending) -> tuple[int, ...] | None:
    """For each axis of the file's tensor, which axis of the layer's it is; None: reshaped."""
    shape = inner_shape(x)
    if x.places is None:
        return tuple(range(len(shape)))
    plain = np.arange(prod(shape)).reshape(shape)
    for order in permutations(range(len(shape))):
        turned = plain.transpose(order)
        if turned.shape == x.places.shape and np.array_equal(turned, x.places):
            return order
    return None


def moved(x: Value, by: Move) -> Value:
    """Move what is no constant.

    Raises
    ------
    ExchangeError
        If it waits to be padded.
    """
    match x:
        case Integers():
            of = moved(x.of, by)
            assert isinstance(of, Images | Activation | Pending)
            return replace(x, of=of)
        case Images():
            return x.moved(by)
        case Activation() | Pending():
            return _moved_result(x, by)
        case _:
            raise ExchangeError(["moves what is neither an activation nor a constant"])


def _moved_result(x: Activation | Pending, by: Move) -> Activation | Pending:
    shape = inner_shape(x)
    try:
        places = by(places_of(x))
    except ValueError:
        if not any(x.padding):
            raise
        raise ExchangeError(["reshapes a padded image; pad it right before the layer"]) from None
    same = places.shape == shape and np.array_equal(places.ravel(), np.arange(prod(shape)))
    return replace(x, places=None if same else places)


def padded_images(x: Images, pads: list[tuple[int, int]], fill: float) -> Images:
    """Pad images that the network has not read yet.

    Raises
    ------
    ExchangeError
        If values were cut off before, so that `fill` would be, too.
    """
    if not x.low <= fill <= x.high:
        raise ExchangeError([f"pads with {fill:g} what was cut to {x.low:g}..{x.high:g} before"])

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
        # What is new starts from 0, whatever the steps before make of that.
        steps = [_neutral(step, new) for step in steps]
        steps.append(Step(op="Add", values=new * fill))
    return replace(x, places=places, steps=tuple(steps))


def _neutral(step: Step, new: FloatArray) -> Step:
    """Let a step leave alone what padding added."""
    nothing = float(step.op in ("Mul", "Div"))
    return replace(step, values=np.where(new > 0, nothing, step.values))


def file_order(values: NDArray[Any], places: IntArray | None) -> NDArray[Any]:
    """Order a layer's results, shape (N, *shape), as the file does."""
    return values if places is None else values.reshape(len(values), -1)[:, places]


def unbatched(constant: FloatArray, shape: Shape) -> FloatArray:
    """Take the batch's axis off a constant that tensors of `shape` meet.

    Raises
    ------
    ExchangeError
        If it does not broadcast to them.
    """
    found = constant
    if found.ndim == 1 + len(shape) and found.shape[0] == 1:
        found = found[0]
    try:
        fits = np.broadcast_shapes(found.shape, shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise ExchangeError(
            [
                (
                    f"has constants of shape {constant.shape} beside values of shape (N, "
                    f"{', '.join(map(str, shape))}); one, or one for each channel, is supported"
                )
            ]
        )
    return found


def channel_constants(constant: FloatArray, x: Activation | Pending) -> FloatArray:
    """Bring constants of the file's layout to shape (channels,), or (1,) if all are equal.

    Raises
    ------
    ExchangeError
        If they differ within a channel.
    """
    if constant.size == 1:
        return constant.reshape(1)
    shape = shape_of(x)
    assert shape is not None
    full = np.broadcast_to(unbatched(constant, shape), shape)
    if any(x.padding):
        raise ExchangeError(["has constants for each channel of a padded image; put it before"])
    inner = np.empty(prod(shape))
    inner[places_of(x).ravel()] = full.ravel()
    channels = x.shape[0] if isinstance(x, Pending) else x.tensor.shape[0]
    rows = inner.reshape(channels, -1)
    if (rows != rows[:, :1]).any():
        if len(inner_shape(x)) == 1:
            raise ExchangeError(
                ["has a constant for each feature of a flattened image; put it before"]
            )
        raise ExchangeError(
            [f"has constants of shape {constant.shape}; one, or one for each channel, is supported"]
        )
    found = rows[:, 0]
    return found[:1] if (found == found[0]).all() else found
