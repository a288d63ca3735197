"""Requantizations that equal a function of few integers: found by exact inequalities, then proved.

A function is given by its results for ascending accumulators. Each result is an inequality for the
multiplier and the offset, so a fit either satisfies all of them or does not exist.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from systolith.network import MAX_MULTIPLIER_BITS, ActType, IntArray, Requantize

__all__ = ["fit_scaling", "fit_thresholds"]

MOST_SHIFT = 40
"""Greatest shift that is tried; a result then has 40 fractional bits."""


@dataclass(frozen=True, slots=True)
class _Bounds:
    """Clamp of a layer: at these results, only one inequality holds."""

    low: int
    high: int


def fit_scaling(accs: IntArray, values: IntArray, output: ActType) -> Requantize | None:
    """Fit multipliers: straight lines, or two straight lines that meet at 0, for each channel.

    Parameters
    ----------
    accs : array of int64, shape (codes, channels)
        Accumulators of each channel, ascending.
    values : array of int64, shape (codes, channels)
        Results of each channel.
    output : ActType

    Returns
    -------
    Requantize or None
        With a multiplier and an offset for each channel; or with two multipliers, for negative and
        other accumulators. None if no such requantization equals the values.

    Examples
    --------
    >>> accs = np.arange(-4, 5)[:, None]
    >>> half = np.array([[-2, -2, -1, -1, 0, 1, 1, 2, 2]]).T  # ties away from zero
    >>> spec = fit_scaling(accs, half, ActType(bits=8, signed=True))
    >>> spec.multiplier, spec.shift, spec.offset
    (array([9]), array([4]), array([0]))
    """
    given = _Bounds(output.low, output.high)
    clamped = _Bounds(int(values.min()), int(values.max()))
    for bounds in (given, clamped):
        clamp = None if bounds == given else (bounds.low, bounds.high)
        if (lines := _each(values, accs, output, bounds, slopes=False)) is not None:
            multiplier, shift, offset = lines
            return Requantize(multiplier=multiplier, shift=shift, offset=offset, clamp=clamp)
        if (slopes := _each(values, accs, output, bounds, slopes=True)) is not None:
            multiplier, shift, negative = slopes
            return Requantize(multiplier=multiplier, shift=shift, negative=negative, clamp=clamp)
    return None


def fit_thresholds(accs: IntArray, values: IntArray, output: ActType) -> Requantize | None:
    """Give the thresholds of functions that rise; None if one falls somewhere.

    Parameters and shapes are those of :func:`fit_scaling`.

    >>> steps = fit_thresholds(np.arange(4)[:, None], np.array([[0, 0, 2, 3]]).T,
    ...                        ActType(bits=2, signed=False))
    >>> steps.thresholds
    array([[2, 2, 3]])
    """
    if (np.diff(values, axis=0) < 0).any():
        return None
    levels = np.arange(output.low + 1, int(values.max()) + 1)
    if not levels.size:
        return None
    beyond = np.append(accs, accs[-1:] + 1, axis=0)
    pairs = zip(beyond.T, values.T, strict=True)
    return Requantize.by_thresholds(
        np.stack([places[np.searchsorted(column, levels)] for places, column in pairs])
    )


def _each(
    values: IntArray, accs: IntArray, output: ActType, bounds: _Bounds, *, slopes: bool
) -> tuple[IntArray, IntArray, IntArray] | None:
    """Fit each channel; None if one cannot be fitted."""
    fit, fitted = _fit_slopes if slopes else _fit_line, []
    for places, column in zip(accs.T, values.T, strict=True):
        one = fit(places, column - output.zero_point, _Bounds(*_centred(bounds, output)))
        if one is None:
            return None
        fitted.append(one)
    first, second, third = np.array(fitted, dtype=np.int64).T
    return first, second, third


def _centred(bounds: _Bounds, output: ActType) -> tuple[int, int]:
    return bounds.low - output.zero_point, bounds.high - output.zero_point


def _fit_line(accs: IntArray, values: IntArray, bounds: _Bounds) -> tuple[int, int, int] | None:
    """Fit ``values == (accs * multiplier + offset + half) >> shift`` with the least shift."""
    least = np.where(values > bounds.low, values - 0.5, -np.inf)
    most = np.where(values < bounds.high, values + 0.5, np.inf)
    apart = accs[:, None] - accs[None, :]
    later = apart > 0
    steps = np.where(later, apart, 1)
    low = np.where(later, (least[:, None] - most[None, :]) / steps, -np.inf).max(initial=0)
    high = np.where(later, (most[:, None] - least[None, :]) / steps, np.inf).min()
    if low > high:
        return None
    for shift in range(MOST_SHIFT + 1):
        for multiplier in _between(low, high, shift):
            lower, upper = _room(accs * multiplier, values, bounds, shift)
            if lower <= upper:
                return multiplier, shift, min(max(0, lower), upper)
    return None


def _between(low: float, high: float, shift: int) -> Iterator[int]:
    """Yield multipliers of slopes in a range: the middle one, and the ends."""
    least, most = low * 2**shift, min(high, 2.0**MAX_MULTIPLIER_BITS) * 2**shift
    middle = least if high == np.inf else (least + most) / 2
    for value in dict.fromkeys(map(round, (middle, np.ceil(least), np.floor(most)))):
        if least <= value <= most and 0 <= value < 1 << MAX_MULTIPLIER_BITS:
            yield int(value)


def _room(products: IntArray, values: IntArray, bounds: _Bounds, shift: int) -> tuple[int, int]:
    """Give the least and greatest offset with which products are rounded to the values."""
    half = 1 << shift >> 1
    limit = 1 << 60
    lower = np.where(values > bounds.low, (values << shift) - half - products, -limit)
    upper = np.where(values < bounds.high, ((values + 1) << shift) - 1 - half - products, limit)
    return int(lower.max()), int(upper.min())


def _fit_slopes(accs: IntArray, values: IntArray, bounds: _Bounds) -> tuple[int, int, int] | None:
    """Fit multipliers of accumulators from 0 and below 0, with one shift and no offset."""
    if not bounds.low <= 0 <= bounds.high or values[accs == 0].any():
        return None
    for shift in range(MOST_SHIFT + 1):
        right, left = (_fit_slope(accs, values, bounds, shift, side) for side in (1, -1))
        if right is not None and left is not None and right >= 0:
            return right, shift, left
    return None


def _fit_slope(
    accs: IntArray, values: IntArray, bounds: _Bounds, shift: int, side: int
) -> int | None:
    """Find the multiplier nearest to the middle for accumulators of one sign."""
    chosen = accs * side > 0
    half, limit = 1 << shift >> 1, (1 << MAX_MULTIPLIER_BITS) - 1
    sizes, wanted = np.abs(accs[chosen]), values[chosen]
    lower = (wanted << shift) - half
    upper = ((wanted + 1) << shift) - 1 - half
    free_below, free_above = wanted <= bounds.low, wanted >= bounds.high
    if side < 0:
        lower, upper, free_below, free_above = -upper, -lower, free_above, free_below
    least = np.where(free_below, -limit, -(-lower // sizes)).max(initial=-limit)
    most = np.where(free_above, limit, upper // sizes).min(initial=limit)
    if side > 0:
        least = max(least, 0)
    return None if least > most else int(min(max((least + most) // 2, least), most))
