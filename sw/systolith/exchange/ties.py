"""Where a file's results lie just between two integers, and the hardware's do not quite."""

from fractions import Fraction
from math import isclose

import numpy as np

from systolith.exchange.quantizer import Quantizer
from systolith.exchange.values import Pending

__all__ = ["true_ties"]

LARGEST = 1 << 12
"""Denominator of a ratio that is a fraction on purpose, such as 1/6, not by accident."""
TO_NEAREST = ("ROUND", "HALF_EVEN")


def true_ties(pending: Pending, quantizer: Quantizer) -> bool:
    """Whether a layer's sums reach halves of the output's step, as those over 6 pixels do.

    Such a ratio is no sum of powers of two: the hardware's is a little less or more, so it may
    round up where the file rounds to the even integer, or down.
    """
    if quantizer.rounding not in TO_NEAREST or pending.step is not None:
        return False
    low, high = pending.accumulated(np.zeros(pending.scale.shape, dtype=np.int64))
    reached = max(abs(low), abs(high))
    for scale in pending.scale.tolist():
        ratio = scale / quantizer.scale
        near = Fraction(ratio).limit_denominator(LARGEST)
        odd = near.denominator // (near.denominator & -near.denominator)
        if (
            near
            and odd > 1
            and near.denominator % 2 == 0
            and near.denominator // 2 <= reached
            and isclose(float(near), ratio, rel_tol=1e-12)
        ):
            return True
    return False
