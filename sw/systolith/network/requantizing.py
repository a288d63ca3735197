"""Golden arithmetic of requantization."""

import numpy as np

from systolith.network._fields import repr_of
from systolith.network.errors import NetworkError
from systolith.network.numbers import (
    TFLITE_SHIFT,
    ActType,
    IntArray,
    Overflow,
    Requantize,
    Rounding,
)

__all__ = ["count_thresholds", "requantize", "shift_right"]


def requantize(acc: IntArray, spec: Requantize, output: ActType) -> IntArray:
    """Convert accumulators to the output type; see :class:`Requantize` for the equation.

    Parameters
    ----------
    acc : array of int64, shape (N, channels, ...)
        Accumulators of at most 47 bits. Accumulator and multiplier (at most 31 bits) together have
        at most 63 bits, so that int64 holds the product.
    spec : Requantize
        Multiplier, shift and offset for each channel, rounding, overflow, clamp.
    output : ActType
        Type and zero point of the result.

    Returns
    -------
    array of int64, shape of acc

    Raises
    ------
    NetworkError
        If `acc` is not an array of integers, or `spec` has another number of channels.

    Examples
    --------
    >>> half = Requantize(multiplier=np.array([1]), shift=np.array([1]))
    >>> requantize(np.array([[-3, -1, 1, 3, 999]]), half, ActType(bits=4, signed=True))
    array([[-1,  0,  1,  2,  7]])
    """
    if acc.ndim < 2 or acc.dtype.kind not in "iu":
        NetworkError.raise_if_any(
            [f"accumulators must be integers (N, channels, ...), got {repr_of(acc)}"]
        )
    NetworkError.raise_if_any(spec.problems(acc.shape[1], output))
    channels = (1, -1) + (1,) * (acc.ndim - 2)
    if spec.thresholds is not None:
        return count_thresholds(acc, spec.thresholds) + output.low
    shift = spec.shift.reshape(channels)
    factor = spec.multiplier.reshape(channels)
    if spec.negative is not None:
        factor = np.where(acc < 0, spec.negative.reshape(channels), factor)
    product = acc.astype(np.int64, copy=False) * factor
    if spec.offset is not None:
        product = product + spec.offset.reshape(channels)
    y = shift_right(product, shift, spec.rounding) + output.zero_point
    if spec.overflow is Overflow.SATURATE:
        y = np.clip(y, output.low, output.high)
    else:
        y = ((y - output.low) & ((1 << output.bits) - 1)) + output.low
    if spec.clamp is not None:
        y = np.clip(y, *spec.clamp)
    return np.asarray(y)


def count_thresholds(acc: IntArray, thresholds: IntArray) -> IntArray:
    """Count the thresholds of its channel that each accumulator reaches.

    >>> count_thresholds(np.array([[-1], [0], [7]]), np.array([[0, 7]])).ravel()
    array([0, 1, 2])
    """
    counts = np.empty(acc.shape, dtype=np.int64)
    rows = np.broadcast_to(thresholds, (acc.shape[1], thresholds.shape[1]))
    for channel, row in enumerate(rows):
        counts[:, channel] = np.searchsorted(row, acc[:, channel], side="right")
    return counts


def shift_right(product: IntArray, shift: IntArray, rounding: Rounding) -> IntArray:
    """Divide by ``2**shift`` and round.

    >>> shift_right(np.array([-3, -1, 1, 3]), np.array(1), Rounding.HALF_EVEN)
    array([-2,  0,  0,  2])
    """
    unit = np.int64(1) << shift
    match rounding:
        case Rounding.FLOOR:
            return np.asarray(product >> shift)
        case Rounding.HALF_UP:
            return np.asarray((product + (unit >> 1)) >> shift)
        case Rounding.HALF_EVEN:
            nearest = product + (unit >> 1)
            tied = (nearest & (unit - 1) == 0) & (shift > 0)
            return np.asarray((nearest >> shift) & ~tied.astype(np.int64))
        case Rounding.TFLITE:
            first = np.minimum(shift, TFLITE_SHIFT)
            once = shift_right(product, first, Rounding.HALF_UP)
            rest = shift - first
            # Half less one for a negative value rounds its ties down, away from zero.
            half = (np.int64(1) << rest) >> 1
            added = np.where(rest > 0, half - (once < 0), 0)
            return np.asarray((once + added) >> rest)
