"""Additions with rounded multipliers, compared with real arithmetic for all pairs of values."""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from systolith.exchange.quantizer import FloatArray, Quantizer
from systolith.exchange.values import Term
from systolith.network import IntArray, Requantize, requantize

__all__ = ["equal_for_all_pairs"]

MOST_PAIRS = 1 << 20
"""Of all channels that differ; more are not looked at."""
DOUBT = 2.0**-42
"""How far a real sum in float64 may be off, relative to its terms."""


def equal_for_all_pairs(
    terms: Sequence[Term], offset: FloatArray, spec: Requantize, quantizer: Quantizer
) -> bool:
    """Whether an addition gives, for all values of its terms, what the quantizer gives.

    Parameters
    ----------
    terms : sequence of two Term
    offset : array of float64, shape (channels,)
        Added to the real sum.
    spec : Requantize
        With its clamp.
    quantizer : Quantizer
        That rounds to nearest even, or down.
    """
    if len(terms) != 2 or quantizer.rounding not in ("ROUND", "HALF_EVEN", "FLOOR"):
        return False
    first, second = (term.centred for term in terms)
    if first.size * second.size * offset.size > MOST_PAIRS:
        return False
    acc = first[:, None] * terms[0].multiplier + second * terms[1].multiplier
    ours = requantize(np.broadcast_to(acc, (offset.size, *acc.shape))[None], spec, quantizer.type)
    low, high = spec.clamp or (quantizer.type.low, quantizer.type.high)
    parts = first[:, None] * terms[0].scale, second * terms[1].scale
    for channel, constant in enumerate(offset.tolist()):
        real = (parts[0] + parts[1] + constant) / quantizer.scale
        size = (np.abs(parts[0]) + np.abs(parts[1]) + abs(constant)) / quantizer.scale + 1
        edge = real if quantizer.rounding == "FLOOR" else real - 0.5
        unclear = np.abs(edge - np.rint(edge)) <= DOUBT * size
        theirs = _rounded(real, quantizer).clip(low, high)
        for x, y in zip(*np.nonzero(unclear), strict=True):
            exact = (
                Fraction(terms[0].scale) * int(first[x])
                + Fraction(terms[1].scale) * int(second[y])
                + Fraction(constant)
            ) / Fraction(quantizer.scale)
            theirs[x, y] = min(max(_exactly(exact, quantizer), low), high)
        if not np.array_equal(ours[0, channel], theirs):
            return False
    return True


def _rounded(real: FloatArray, quantizer: Quantizer) -> IntArray:
    down = quantizer.rounding == "FLOOR"
    whole = quantizer.type.zero_point + np.floor(real if down else real + 0.5)
    return np.asarray(whole.clip(-(2.0**40), 2.0**40).astype(np.int64))


def _exactly(real: Fraction, quantizer: Quantizer) -> int:
    zero = quantizer.type.zero_point
    if quantizer.rounding == "FLOOR":
        return real // 1 + zero
    return round(real + zero) if quantizer.after_zero_point else round(real) + zero
