"""Integer scales that equal arithmetic in floats for every accumulator: proved, not fitted.

A monotonic step function equals another where all its steps lie at the same accumulators. So the
steps of both are compared, and there are at most 255 of them.
"""

from collections.abc import Callable, Iterator
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
    scale: float, reach: tuple[int, int], output: ActType, clamp: tuple[int, int] | None
) -> Requantize:
    """Make a requantization that equals ``round(acc * scale)`` in doubles, ties away from zero.

    TFLite's reference kernel of FULLY_CONNECTED computes it so.

    Parameters
    ----------
    scale : float
    reach : pair of int
        Least and greatest accumulator.
    output : ActType
    clamp : pair of int, optional

    Raises
    ------
    TfliteError
        If no multiplier of 31 bits equals it for every accumulator.
    """
    nearest, shift = quantize_multiplier(scale)
    low, high = clamp or (output.low, output.high)

    def exact(acc: int) -> int:
        value = round_away(float(acc) * scale) + output.zero_point
        return min(max(value, low), high)

    for candidate in _candidates(nearest, shift):
        spec = Requantize(
            multiplier=np.array([candidate[0]]), shift=np.array([candidate[1]]), clamp=clamp
        )
        if _same_steps(exact, spec, reach, output):
            return spec
    raise TfliteError(
        [f"scales by {scale!r}, which no multiplier of {MOST_BITS} bits does for all sums"]
    )


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


def _candidates(nearest: int, shift: int) -> Iterator[tuple[int, int]]:
    """Yield the nearest multiplier and its neighbours; nearest ones first."""
    for by in range(TRIES + 1):
        for multiplier in {nearest + by, nearest - by}:
            if 0 <= multiplier < 1 << MOST_BITS:
                yield multiplier, shift


def _same_steps(
    exact: Callable[[int], int], spec: Requantize, reach: tuple[int, int], output: ActType
) -> bool:
    """Whether a requantization has its steps where a function that never falls has them."""
    least, most = reach
    places = {least, most}
    for level in range(exact(least) + 1, exact(most) + 1):
        step = _first_at_least(exact, level, least, most)
        places |= {step - 1, step}
    accs = np.array(sorted(places), dtype=np.int64)
    wanted: IntArray = np.array([exact(int(acc)) for acc in accs])
    return bool(np.array_equal(requantize(accs[:, None], spec, output).ravel(), wanted))


def _first_at_least(exact: Callable[[int], int], level: int, low: int, high: int) -> int:
    """Find the least accumulator at which a function that never falls reaches `level`."""
    while low < high:
        middle = (low + high) // 2
        if exact(middle) >= level:
            high = middle
        else:
            low = middle + 1
    return low
