"""Where a quantizer steps to the next integer, and integer arithmetic that steps there, too.

A quantized layer gives a staircase: each integer from some accumulator on. Two layers are the same
if all steps of their staircases are, whatever arithmetic they are made of.
"""

from dataclasses import dataclass, replace

import numpy as np

from systolith.exchange.values.value import FloatArray
from systolith.network import MAX_OFFSET_BITS, MAX_SHIFT, BoolArray, IntArray, Rounding

__all__ = ["Staircase", "Steps", "found_steps", "staircase"]

DOUBT = 2.0**-42
"""Thresholds are real numbers in float64: how far they may be off, relative to what they are of."""
MOST_THRESHOLDS = 1 << 22
"""Of a layer; more are not looked at."""
MOST_BITS = 61
"""Of numbers in the comparison, so that int64 holds their sums."""
FEW_LEVELS = 16
"""That tell most multipliers that will not do."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Staircase:
    """The least accumulator that reaches each level.

    Attributes
    ----------
    levels : array of int64, shape (levels,)
        Scaled values before the zero point, ascending; all but the least.
    first : array of int64, shape (channels, levels)
        Within ``low..high+1``: `low` is reached by every accumulator, ``high + 1`` by none.
    low, high : int
        The accumulators that there are.
    """

    levels: IntArray
    first: IntArray
    low: int
    high: int

    def offsets(
        self, multiplier: IntArray, shift: int | IntArray, rounding: Rounding
    ) -> tuple[IntArray, IntArray] | None:
        """Bounds of the offsets with which integer arithmetic has this staircase.

        Parameters
        ----------
        multiplier : array of int64, shape (channels,)
        shift : int, or array of int64, shape (channels,)
        rounding : Rounding

        Returns
        -------
        pair of array of int64, shape (channels,), or None
            Inclusive, and the first greater than the second where there are none; None if the
            numbers are too large to tell.
        """
        shifts = np.broadcast_to(shift, len(self.first)).astype(np.int64)[:, None]
        reach = max(abs(self.low), abs(self.high) + 1).bit_length()
        most_level = int(np.abs(self.levels).max()).bit_length()
        if max(reach + int(multiplier.max()).bit_length(), most_level + int(shifts.max())) > (
            MOST_BITS - 1
        ):
            return None
        half = (np.int64(1) << shifts) >> 1 if rounding.to_nearest else np.zeros_like(shifts)
        # Ties go up, but down to even ones below odd levels.
        down = (self.levels % 2 == 1) & (shifts > 0) & (rounding is Rounding.HALF_EVEN)
        wanted = (self.levels << shifts) - half + down
        product = self.first * multiplier[:, None]
        limit = np.int64(1) << (MAX_OFFSET_BITS - 1)
        least = np.where(self.first <= self.high, wanted - product, -limit)
        most = np.where(
            self.first > self.low, wanted - (product - multiplier[:, None]) - 1, limit - 1
        )
        return least.max(axis=1, initial=-limit), most.min(axis=1, initial=limit - 1)

    def thinned(self, levels: int) -> "Staircase":
        """Keep some levels, first and last among them: what these rule out, all of them do."""
        places = np.unique(np.linspace(0, self.levels.size - 1, levels).astype(np.int64))
        return replace(self, levels=self.levels[places], first=self.first[:, places])

    def contains(
        self, multiplier: IntArray, shift: IntArray, offset: IntArray, rounding: Rounding
    ) -> bool:
        """Whether integer arithmetic certainly has this staircase."""
        found = self.offsets(multiplier, shift, rounding)
        return found is not None and bool(((found[0] <= offset) & (offset <= found[1])).all())


def staircase(
    scale: FloatArray,
    offset: FloatArray,
    unit: float,
    *,
    rounding: Rounding,
    levels: tuple[int, int],
    sums: tuple[int, int],
    odd: bool = False,
) -> Staircase | None:
    """Find the steps of ``round((scale * acc + offset) / unit)``.

    Parameters
    ----------
    scale, offset : array of float64, shape (channels,)
        The scale at least 0.
    unit : float
    rounding : Rounding
    levels : pair of int
        Least and greatest integer; what is beyond is cut off.
    sums : pair of int
        Least and greatest accumulator.
    odd : bool
        Whether ties go to odd integers, those that an odd zero point makes even.

    Returns
    -------
    Staircase or None
        None if there are too many thresholds, or if float64 is too coarse for one of them.
    """
    low, high = sums
    level = np.arange(levels[0] + 1, levels[1] + 1, dtype=np.int64)
    if level.size == 0 or level.size * scale.size > MOST_THRESHOLDS:
        return None
    edge = level.astype(np.float64) - (0.5 if rounding.to_nearest else 0.0)
    silent = (scale == 0)[:, None]
    step = np.where(silent, 1.0, scale[:, None])
    # A silent channel is looked at as one whose step is a whole unit.
    real = np.where(silent, edge * unit - offset[:, None], (edge * unit - offset[:, None]) / step)
    doubt = DOUBT * (np.abs(edge) * unit + unit + np.abs(offset[:, None])) / step
    real = real.clip(low - 1.0, high + 2.0)
    first = np.ceil(real).astype(np.int64)
    unclear = np.abs(real - np.rint(real)) <= doubt
    unclear &= np.where(silent, np.rint(real) == 0, (real > low - 0.5) & (real < high + 0.5))
    down = (level % 2 != odd) & (rounding is Rounding.HALF_EVEN)
    for channel in np.flatnonzero(unclear.any(axis=1)):
        places = np.flatnonzero(unclear[channel])
        by, added = float(step[channel, 0]), float(offset[channel])
        whole, rest = _thresholds(by, added, unit, edge[places])
        if rest.any() and not silent[channel, 0]:
            return None
        first[channel, places] = whole + np.where(rest, 1, down[places])
    # What a silent channel gives, it gives for every accumulator.
    first = np.where(silent, np.where(first <= 0, low, high + 1), first)
    return Staircase(levels=level, first=first.clip(low, high + 1), low=low, high=high)


def _thresholds(
    scale: float, offset: float, unit: float, edges: FloatArray
) -> tuple[IntArray, BoolArray]:
    """Divide ``edges * unit - offset`` by the scale: what is whole of it, and whether more is left.

    All are integers over one power of two, so nothing is rounded.
    """
    ratios = [each.as_integer_ratio() for each in (unit, offset, scale)]
    common = max(denominator for _, denominator in ratios)
    units, added, step = (each * (common // denominator) for each, denominator in ratios)
    # Edges are whole or halves: twice an edge is whole.
    edge = np.rint(edges * 2).astype(np.int64)
    largest = max(int(np.abs(edge).max()), 1) * units + 2 * max(abs(added), step)
    number = np.int64 if largest.bit_length() <= MOST_BITS else object
    distance = edge.astype(number) * units - 2 * added
    whole = distance // (2 * step)
    return whole.astype(np.int64), np.asarray(distance != whole * (2 * step))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Steps:
    """Integer arithmetic that has a staircase.

    Attributes
    ----------
    multiplier, offset : array of int64, shape (channels,)
    shift : int
    rounding : Rounding
    bias : array of int64, shape (channels,), or None
        Whole steps of the accumulator that do the same as `offset`, if there are such.
    """

    multiplier: IntArray
    offset: IntArray
    shift: int
    rounding: Rounding
    bias: IntArray | None


def found_steps(
    stairs: Staircase, ratio: FloatArray, offset: FloatArray, bits: int, rounding: Rounding
) -> Steps | None:
    """Look for the narrowest multipliers, with one shift for all channels; None if none will do.

    Parameters
    ----------
    stairs : Staircase
    ratio, offset : array of float64, shape (channels,)
        Scale of the accumulator, and what is added, in units of the output.
    bits : int
        Of multipliers, at most.
    rounding : Rounding
        Of the quantizer.
    """
    _, exponent = np.frexp(ratio.max())
    # To even is the same as up if there is no tie, and then needs one register less.
    ways = [Rounding.HALF_UP] if rounding is Rounding.HALF_EVEN else []
    inside = (stairs.first > stairs.low) & (stairs.first <= stairs.high)
    apart = _extent(stairs.first, inside)
    few = stairs.thinned(FEW_LEVELS)
    for width in range(1, bits + 1):
        shift = width - int(exponent)
        if not 0 <= shift <= MAX_SHIFT:
            continue
        multiplier = np.rint(ratio * 2.0**shift).astype(np.int64)
        drift = np.abs(ratio - multiplier * 2.0**-shift) * apart
        # From the first threshold to the last, a line may move by one accumulator.
        if multiplier.max() >= 1 << width or (drift > ratio).any():
            continue
        for way in (*ways, rounding):
            likely = few.offsets(multiplier, shift, way)
            if likely is None:
                return None
            if (likely[0] > likely[1]).any():
                continue
            bounds = stairs.offsets(multiplier, shift, way)
            if bounds is not None and (bounds[0] <= bounds[1]).all():
                return _reduced(multiplier, offset, shift, way, bounds)
    return None


def _extent(first: IntArray, inside: BoolArray) -> IntArray:
    """From the first to the last threshold of each channel."""
    most = np.where(inside, first, np.iinfo(np.int64).min).max(axis=1)
    least = np.where(inside, first, np.iinfo(np.int64).max).min(axis=1)
    return np.where(inside.any(axis=1), most - least, 0)


def _reduced(
    multiplier: IntArray,
    offset: FloatArray,
    shift: int,
    rounding: Rounding,
    bounds: tuple[IntArray, IntArray],
) -> Steps:
    """Take offsets near the real ones, and biases in their place where these will do."""
    least, most = bounds
    middle = np.rint((offset * 2.0**shift).clip(-(2.0**60), 2.0**60)).astype(np.int64)
    chosen = middle.clip(least, most)
    step = np.maximum(multiplier, 1)
    whole = -(-least // step)
    biased = np.where(multiplier > 0, whole * multiplier <= most, (least <= 0) & (most >= 0))
    bias = np.where(multiplier > 0, whole, 0) if biased.all() else None
    return Steps(multiplier=multiplier, offset=chosen, shift=shift, rounding=rounding, bias=bias)
