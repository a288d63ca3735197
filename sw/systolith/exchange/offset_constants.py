"""Offsets of requantizers as real constants, for graphs of floats."""

import numpy as np

from systolith.exchange.quantizer import FloatArray
from systolith.exchange.thresholds import Staircase
from systolith.network import (
    Add,
    AvgPool2d,
    Conv2d,
    IntArray,
    IntegerNetwork,
    Linear,
    Rounding,
    accumulator_range,
)

__all__ = ["offset_constants"]


def offset_constants(
    network: IntegerNetwork, layer: Conv2d | Linear | Add | AvgPool2d
) -> tuple[FloatArray, Rounding] | None:
    """Choose what is added before rounding, far from where a float's error would matter.

    Parameters
    ----------
    network : IntegerNetwork
    layer : Layer

    Returns
    -------
    tuple of array of float64, shape (channels,), and Rounding, or None
        In units of the output, and how the sum is to be rounded; None if the layer has no offset.
    """
    spec = layer.requantize
    if spec.offset is None:
        return None
    channels = network.tensors[layer.name].shape[0]
    multiplier, shift, offset = (
        np.broadcast_to(each, channels) for each in (spec.multiplier, spec.shift, spec.offset)
    )
    literal = np.ldexp(offset.astype(np.float64), -shift), spec.rounding
    stairs = _staircase(network, layer, multiplier, shift, offset)
    way = Rounding.HALF_UP if spec.rounding.to_nearest else Rounding.FLOOR
    bounds = None if stairs is None else stairs.offsets(multiplier, shift, way)
    if bounds is None or (bounds[0] > bounds[1]).any():
        return literal
    # Any number from the first bound up to the second plus 1 gives the same integers.
    near = multiplier // 2 + 1
    least = np.maximum(bounds[0], offset - near)
    most = np.minimum(bounds[1] + 1, offset + near)
    middle = least.astype(np.float64) / 2 + most.astype(np.float64) / 2
    # No sum is a tie then, so ties may go anywhere.
    return np.ldexp(middle, -shift), Rounding.HALF_EVEN if way is Rounding.HALF_UP else way


def _staircase(
    network: IntegerNetwork,
    layer: Conv2d | Linear | Add | AvgPool2d,
    multiplier: IntArray,
    shift: IntArray,
    offset: IntArray,
) -> Staircase | None:
    """Where the layer's integers step, biases included; None where numbers are too large."""
    spec, act = layer.requantize, layer.output
    least, most = spec.clamp or (act.low, act.high)
    levels = np.arange(least, most, dtype=np.int64) + 1 - act.zero_point
    sources = [(each.shape, each.type) for each in network.inputs_of(layer)]
    low, high = accumulator_range(layer, sources)
    if levels.size == 0 or max(-low, high) * int(multiplier.max()) >= 1 << 60:
        return None
    if int(shift.max()) + 17 > 60 or np.abs(offset).max() >= 1 << 60:
        return None
    by = shift[:, None]
    half = (np.int64(1) << by) >> 1 if spec.rounding.to_nearest else np.zeros_like(by)
    down = (levels % 2 == 1) & (by > 0) & (spec.rounding is Rounding.HALF_EVEN)
    wanted = (levels << by) - half + down - offset[:, None]
    reached = np.where(wanted <= 0, low, high + 1)
    first = np.where(
        multiplier[:, None] > 0, -(-wanted // np.maximum(multiplier, 1)[:, None]), reached
    )
    return Staircase(levels=levels, first=first.clip(low, high + 1), low=low, high=high)
