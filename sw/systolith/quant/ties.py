"""Averages that lie just between two integers."""

from dataclasses import replace
from math import frexp

import torch

from systolith.network import ActType
from systolith.quant.fixed_point import FixedPoint
from systolith.quant.requantizing import Scaling

__all__ = ["with_exact_ties"]


def with_exact_ties(scaling: Scaling, ratio: float, window: int, input_type: ActType) -> Scaling:
    """Round averages that lie between two integers upwards, as floats do.

    Such ties are there if the steps of input and output differ by a power of two; then the scale is
    ``1 / q`` for an integer q, a multiple of the window. Its multiplier is exact for powers of two
    only. Otherwise it is nearest to ``2**shift / q``, and below that for every second window, so
    that sums ``(k + 1/2) * q`` would be rounded down.

    A multiplier that is rounded up, by less than 1, rounds those of sums that are not negative up.
    With negative ones, a multiplier that is rounded down and an offset do. The next sum below a tie
    must stay below it: it is ``1 / q`` lower, which is more than the error as long as
    ``window * 2**bits < 2**15``, up to 127 values of 8 bits.

    Parameters
    ----------
    scaling : Scaling
        With the nearest multiplier.
    ratio : float
        Step of the input over that of the output.
    window : int
        Values that are averaged.
    input_type : ActType
        Of the values.
    """
    fixed_point = scaling.fixed_point
    most = window << (input_type.bits - input_type.signed)
    """No sum of a window has a greater magnitude."""
    mantissa, exponent = frexp(ratio)
    if mantissa != 0.5 or window * (1 << input_type.bits) >= 1 << 15:
        return scaling
    if exponent > 0 and window % (1 << exponent):
        return scaling  # q is odd: there are no ties
    # ratio = 2**(exponent - 1), so the exact multiplier is top / window.
    top = 1 << max(fixed_point.shift + exponent - 1, 0)
    if fixed_point.shift + exponent - 1 < 0 or top % window == 0:
        return scaling
    nearest = int(fixed_point.multiplier[0])
    below = top // window
    if nearest not in (below, below + 1):
        return scaling
    multiplier = torch.tensor([below if input_type.signed else below + 1])
    exact = FixedPoint(multiplier=multiplier, shift=fixed_point.shift)
    offset = torch.tensor([most]) if input_type.signed else None
    return replace(scaling, fixed_point=exact, offset=offset)
