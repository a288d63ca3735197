"""The accumulators at which a quantizer steps to the next integer, and arithmetic with equal steps.

The output of a quantized layer is a staircase over its accumulator: each integer starts at some
accumulator. Two layers are equal if all steps of their staircases are equal, whatever arithmetic
they use.
"""

from dataclasses import dataclass, replace

import numpy as np

from systolith.exchange.values.value import FloatArray
from systolith.network import FITTED_SHIFT, MAX_OFFSET_BITS, BoolArray, IntArray, Rounding

__all__ = ["ExactRequantizer", "Staircase", "compute_staircase", "find_exact_requantizer"]

FLOAT64_ERROR = 2.0**-42
"""Bound for the error of a result in float64, relative to its operands."""
MAX_THRESHOLDS = 1 << 22
"""Layers with more thresholds have no staircase."""
MAX_BITS = 61
"""Bit width of numbers in the comparison, so that int64 holds their sums."""
FEW_LEVELS = 16
"""Number of levels that rule out most multipliers."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Staircase:
    """The least accumulator that reaches each level.

    Attributes
    ----------
    levels : array of int64, shape (levels,)
        Scaled values before the zero point, ascending, without the least one.
    first : array of int64, shape (channels, levels)
        In ``low..high+1``: every accumulator reaches a level of `low`, none one of ``high + 1``.
    low, high : int
        Range of the accumulators.
    """

    levels: IntArray
    first: IntArray
    low: int
    high: int

    def offsets(
        self, multiplier: IntArray, shift: int | IntArray, rounding: Rounding
    ) -> tuple[IntArray, IntArray] | None:
        """Compute bounds of the offsets with which integer arithmetic has this staircase.

        Parameters
        ----------
        multiplier : array of int64, shape (channels,)
        shift : int, or array of int64, shape (channels,)
        rounding : Rounding

        Returns
        -------
        pair of array of int64, shape (channels,), or None
            Inclusive bounds; the first is greater than the second where no offset does. None if
            numbers are too large for int64.
        """
        shifts = np.broadcast_to(shift, len(self.first)).astype(np.int64)[:, None]
        reach = max(abs(self.low), abs(self.high) + 1).bit_length()
        most_level = int(np.abs(self.levels).max()).bit_length()
        if max(reach + int(multiplier.max()).bit_length(), most_level + int(shifts.max())) > (
            MAX_BITS - 1
        ):
            return None
        half = (np.int64(1) << shifts) >> 1 if rounding.to_nearest else np.zeros_like(shifts)
        # Ties go up; ties to even go down below odd levels.
        down = (self.levels % 2 == 1) & (shifts > 0) & (rounding is Rounding.HALF_EVEN)
        wanted = (self.levels << shifts) - half + down
        product = self.first * multiplier[:, None]
        limit = np.int64(1) << (MAX_OFFSET_BITS - 1)
        least = np.where(self.first <= self.high, wanted - product, -limit)
        most = np.where(
            self.first > self.low, wanted - (product - multiplier[:, None]) - 1, limit - 1
        )
        return least.max(axis=1, initial=-limit), most.min(axis=1, initial=limit - 1)

    def thin_out(self, levels: int) -> "Staircase":
        """Keep some levels, including the first and the last."""
        places = np.unique(np.linspace(0, self.levels.size - 1, levels).astype(np.int64))
        return replace(self, levels=self.levels[places], first=self.first[:, places])

    def contains(
        self, multiplier: IntArray, shift: IntArray, offset: IntArray, rounding: Rounding
    ) -> bool:
        """Whether integer arithmetic is proven to have this staircase."""
        bounds = self.offsets(multiplier, shift, rounding)
        return bounds is not None and bool(((bounds[0] <= offset) & (offset <= bounds[1])).all())


def compute_staircase(
    scale: FloatArray,
    offset: FloatArray,
    unit: float,
    *,
    rounding: Rounding,
    levels: tuple[int, int],
    sums: tuple[int, int],
    odd: bool = False,
) -> Staircase | None:
    """Compute the staircase of ``round((scale * acc + offset) / unit)``.

    Parameters
    ----------
    scale, offset : array of float64, shape (channels,)
        The scale is at least 0.
    unit : float
    rounding : Rounding
    levels : pair of int
        Least and greatest integer, which the result is clipped to.
    sums : pair of int
        Least and greatest accumulator.
    odd : bool
        Whether ties go to odd integers, as with an odd zero point that is added before rounding.

    Returns
    -------
    Staircase or None
        None if there are too many thresholds, or if float64 cannot decide one of them.
    """
    low, high = sums
    level = np.arange(levels[0] + 1, levels[1] + 1, dtype=np.int64)
    if level.size == 0 or level.size * scale.size > MAX_THRESHOLDS:
        return None
    edge = level.astype(np.float64) - (0.5 if rounding.to_nearest else 0.0)
    silent = (scale == 0)[:, None]
    step = np.where(silent, 1.0, scale[:, None])
    # A silent channel, whose scale is 0, is computed with a step of one whole unit.
    real = np.where(silent, edge * unit - offset[:, None], (edge * unit - offset[:, None]) / step)
    doubt = FLOAT64_ERROR * (np.abs(edge) * unit + unit + np.abs(offset[:, None])) / step
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
    # A silent channel gives the same result for every accumulator.
    first = np.where(silent, np.where(first <= 0, low, high + 1), first)
    return Staircase(levels=level, first=first.clip(low, high + 1), low=low, high=high)


def _thresholds(
    scale: float, offset: float, unit: float, edges: FloatArray
) -> tuple[IntArray, BoolArray]:
    """Divide ``edges * unit - offset`` by the scale: quotient, and whether there is a remainder.

    All operands are integers over one power of two, so nothing is rounded.
    """
    ratios = [number.as_integer_ratio() for number in (unit, offset, scale)]
    common = max(denominator for _, denominator in ratios)
    units, added, step = (numerator * (common // denominator) for numerator, denominator in ratios)
    # Edges are whole or halves: twice an edge is whole.
    edge = np.rint(edges * 2).astype(np.int64)
    largest = max(int(np.abs(edge).max()), 1) * units + 2 * max(abs(added), step)
    number = np.int64 if largest.bit_length() <= MAX_BITS else object
    distance = edge.astype(number) * units - 2 * added
    whole = distance // (2 * step)
    return whole.astype(np.int64), np.asarray(distance != whole * (2 * step))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ExactRequantizer:
    """Integer arithmetic with a given staircase.

    Attributes
    ----------
    multiplier, offset : array of int64, shape (channels,)
    shift : int
    rounding : Rounding
    bias : array of int64, shape (channels,), or None
        Whole steps of the accumulator that replace `offset`; None if there are none.
    """

    multiplier: IntArray
    offset: IntArray
    shift: int
    rounding: Rounding
    bias: IntArray | None


def find_exact_requantizer(
    stairs: Staircase, ratio: FloatArray, offset: FloatArray, bits: int, rounding: Rounding
) -> ExactRequantizer | None:
    """Search for the narrowest multipliers, with one shift for all channels; None if none is exact.

    Parameters
    ----------
    stairs : Staircase
    ratio, offset : array of float64, shape (channels,)
        Scale of the accumulator and added constant, in units of the output.
    bits : int
        Greatest bit width of the multipliers.
    rounding : Rounding
        Rounding of the quantizer.
    """
    _, exponent = np.frexp(ratio.max())
    # Without ties, rounding half up gives the same and needs one register less.
    ways = [Rounding.HALF_UP] if rounding is Rounding.HALF_EVEN else []
    inside = (stairs.first > stairs.low) & (stairs.first <= stairs.high)
    apart = _extent(stairs.first, inside)
    few = stairs.thin_out(FEW_LEVELS)
    for width in range(1, bits + 1):
        shift = width - int(exponent)
        if not 0 <= shift <= FITTED_SHIFT:
            continue
        multiplier = np.rint(ratio * 2.0**shift).astype(np.int64)
        drift = np.abs(ratio - multiplier * 2.0**-shift) * apart
        # From the first threshold to the last, the line may drift by one accumulator.
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
                return _choose_offsets(multiplier, offset, shift, way, bounds)
    return None


def _extent(first: IntArray, inside: BoolArray) -> IntArray:
    """Compute the distance from the first to the last threshold of each channel."""
    most = np.where(inside, first, np.iinfo(np.int64).min).max(axis=1)
    least = np.where(inside, first, np.iinfo(np.int64).max).min(axis=1)
    return np.where(inside.any(axis=1), most - least, 0)


def _choose_offsets(
    multiplier: IntArray,
    offset: FloatArray,
    shift: int,
    rounding: Rounding,
    bounds: tuple[IntArray, IntArray],
) -> ExactRequantizer:
    """Choose offsets near the real ones, and biases that can replace them."""
    least, most = bounds
    middle = np.rint((offset * 2.0**shift).clip(-(2.0**60), 2.0**60)).astype(np.int64)
    chosen = middle.clip(least, most)
    step = np.maximum(multiplier, 1)
    whole = -(-least // step)
    biased = np.where(multiplier > 0, whole * multiplier <= most, (least <= 0) & (most >= 0))
    bias = np.where(multiplier > 0, whole, 0) if biased.all() else None
    return ExactRequantizer(
        multiplier=multiplier, offset=chosen, shift=shift, rounding=rounding, bias=bias
    )
