"""Integer scales that equal arithmetic in floats for every accumulator: proved, not fitted.

A monotonic step function equals another where all its steps lie at the same accumulators. So the
steps of both are compared, and there are at most 255 of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor

import numpy as np

from systolith.network import ActType, IntArray, Requantize, Rounding, requantize
from systolith.tflite.errors import TfliteError
from systolith.tflite.scales import quantize_multiplier

__all__ = ["average_exactly", "round_away", "scale_exactly"]

TRIES = 8
"""Multipliers above and below the nearest one that are tried."""
MOST_BITS = 31


def round_away(value: float) -> int:
    """Round to the nearest integer, ties away from zero, as C's ``round`` does.

    >>> round_away(2.5), round_away(-2.5)
    (3, -3)
    """
    size = floor(abs(value))
    size += abs(value) - size >= 0.5
    return size if value > 0 else -size


def scale_exactly(
    scales: Sequence[float],
    reach: tuple[int, int],
    output: ActType,
    clamp: tuple[int, int] | None = None,
) -> Requantize:
    """Make a requantization that equals ``round(acc * scale)`` in doubles, ties away from zero.

    TFLite's reference kernel of FULLY_CONNECTED computes it so. Multipliers of 31 bits do it for
    nearly every scale. Where a product of doubles is rounded to a tie for some accumulators and
    past the tie for others, no multiplier does, and thresholds are counted instead.

    Parameters
    ----------
    scales : sequence of float
        One for each channel, or one for all.
    reach : pair of int
        Least and greatest accumulator.
    output : ActType
    clamp : pair of int, optional
    """
    steps = {scale: _Steps(scale, reach, output, clamp) for scale in dict.fromkeys(scales)}
    rows = list(steps) if len(steps) == 1 else scales
    factors = {scale: _multiplier(of_scale) for scale, of_scale in steps.items()}
    pairs = [factors[scale] for scale in rows]
    exact = [pair for pair in pairs if pair is not None]
    if len(exact) < len(pairs):
        return Requantize.by_thresholds([steps[scale].thresholds() for scale in rows])
    multipliers, shifts = zip(*exact, strict=True)
    return Requantize(multiplier=np.array(multipliers), shift=np.array(shifts), clamp=clamp)


def average_exactly(count: int, output: ActType, clamp: tuple[int, int] | None) -> Requantize:
    """Make a requantization that divides sums of `count` integers, ties away from zero.

    TFLite divides the sum of the integers themselves, their zero point included. Accumulators
    count from the zero point, so an offset moves them. A multiplier slightly above ``1 / count``
    moves ties away from zero, and nothing else: other quotients are at least ``1/(2*count)`` away
    from a tie.

    Raises
    ------
    TfliteError
        If no multiplier does, because the window is too large.
    """
    zero = output.zero_point
    most = count * max(abs(output.low), abs(output.high))
    shift = 2 + (2 * most * count).bit_length()
    multiplier = (1 << shift) // count + 1
    if multiplier.bit_length() > MOST_BITS:
        raise TfliteError([f"averages {count} pixels at once; use smaller windows in two steps"])
    return Requantize(
        multiplier=np.array([multiplier]),
        shift=np.array([shift]),
        offset=np.array([count * zero * multiplier - (zero << shift)]),
        rounding=Rounding.HALF_UP,
        clamp=clamp,
    )


@dataclass(frozen=True)
class _Steps:
    """Where ``round(acc * scale)`` in doubles goes up, for the accumulators that occur."""

    scale: float
    reach: tuple[int, int]
    output: ActType
    clamp: tuple[int, int] | None

    def value(self, acc: int) -> int:
        """Compute the output."""
        low, high = self.clamp or (self.output.low, self.output.high)
        value = round_away(float(acc) * self.scale) + self.output.zero_point
        return min(max(value, low), high)

    def first_at_least(self, level: int) -> int:
        """Find the least accumulator whose output is `level` or more; one past all if none is."""
        low, high = self.reach[0], self.reach[1] + 1
        while low < high:
            middle = (low + high) // 2
            if self.value(middle) >= level:
                high = middle
            else:
                low = middle + 1
        return low

    def thresholds(self) -> list[int]:
        """Find the least accumulator of each output but the lowest."""
        levels = range(self.output.low + 1, self.output.high + 1)
        return [self.first_at_least(level) for level in levels]

    def equals(self, spec: Requantize) -> bool:
        """Whether a requantization has its steps at the same accumulators."""
        least, most = self.reach
        places = {least, most}
        for level in range(self.value(least) + 1, self.value(most) + 1):
            step = self.first_at_least(level)
            places |= {step - 1, step}
        accs: IntArray = np.array(sorted(places), dtype=np.int64)
        wanted = np.array([self.value(int(acc)) for acc in accs])
        return bool(np.array_equal(requantize(accs[:, None], spec, self.output).ravel(), wanted))


def _multiplier(steps: _Steps) -> tuple[int, int] | None:
    """Find a multiplier and a shift that equal the steps, nearest ones first."""
    nearest, shift = quantize_multiplier(steps.scale)
    for by in range(TRIES + 1):
        for multiplier in {nearest + by, nearest - by}:
            if not 0 <= multiplier < 1 << MOST_BITS:
                continue
            spec = Requantize(
                multiplier=np.array([multiplier]), shift=np.array([shift]), clamp=steps.clamp
            )
            if steps.equals(spec):
                return multiplier, shift
    return None
