"""Widths of the multiplier and of the addends of a requantizer."""

import numpy as np

from systolith.network import (
    FITTED_MULTIPLIER_BITS,
    USUAL_MULTIPLIER_BITS,
    IntArray,
    Requantize,
    Rounding,
    signed_bits,
)

__all__ = [
    "SPARE_BIAS_BITS",
    "addends",
    "offset_bits",
    "scale_bits",
    "signed_factor",
    "threshold_bits",
    "trailing_zeros",
    "zeros_at_end",
]

SPARE_BIAS_BITS = 2
"""Extra bits of loadable biases over sums."""


def scale_bits(requantize: Requantize, *, reloadable: bool = False) -> int:
    """Width of the multiplier of a requantizer, with its sign if it has one; 0 if it only shifts.

    Where negative sums have multipliers of their own, this is the width of either.
    """
    zeros = trailing_zeros(requantize, reloadable=reloadable)
    if _only_shifts(requantize, reloadable=reloadable):
        return 0
    own = max((requantize.most_multiplier >> zeros).bit_length(), 1)
    magnitude = max(own, USUAL_MULTIPLIER_BITS) if reloadable else own
    return magnitude + signed_factor(requantize, reloadable=reloadable)


def signed_factor(requantize: Requantize, *, reloadable: bool = False) -> bool:
    """Whether multipliers of negative sums have a sign."""
    negative = requantize.negative
    return negative is not None and (reloadable or bool((negative < 0).any()))


def threshold_bits(requantize: Requantize) -> int:
    """Bits of a count of thresholds; 0 if there are none."""
    return requantize.levels.bit_length()


def trailing_zeros(requantize: Requantize, *, reloadable: bool = False) -> int:
    """Count the zero bits at the end of all multipliers, which cost no logic; 0 without offsets.

    For a reloadable design that only shifts, this is the most that any multiplier can have, so that
    all offsets fit.
    """
    if requantize.offset is None:
        return 0
    own = _zeros_at_end(requantize)
    if not reloadable:
        return own
    return max(FITTED_MULTIPLIER_BITS - 1, own) if _only_shifts(requantize, reloadable=True) else 0


def addends(biases: IntArray, requantize: Requantize) -> list[int]:
    """Addends of each channel's product: its offset plus its bias times the multiplier.

    They may need more than 64 bits.
    """
    channels = len(biases)
    offset = np.zeros(1, dtype=np.int64) if requantize.offset is None else requantize.offset
    parameters = (
        np.broadcast_to(values, channels).tolist() for values in (requantize.multiplier, offset)
    )
    return [
        bias * multiplier + addend
        for bias, multiplier, addend in zip(biases.tolist(), *parameters, strict=True)
    ]


def offset_bits(
    sum_bits: int, biases: IntArray, requantize: Requantize, *, reloadable: bool = False
) -> int:
    """Width of the addend behind the multiplier; 0 if biases are added in front of it.

    Parameters
    ----------
    sum_bits : int
        Width of sums without their biases.
    biases : array of int, shape (channels,)
    requantize : Requantize
    reloadable : bool
        Whether parameters can be written. The addend then has one bit more than any bias times any
        multiplier.
    """
    if requantize.offset is None:
        return 0
    own = addends(biases, requantize)
    bits = signed_bits(min(own), max(own))
    if not reloadable:
        return bits
    bias = max(sum_bits + SPARE_BIAS_BITS, signed_bits(int(biases.min()), int(biases.max())))
    zeros = trailing_zeros(requantize, reloadable=True)
    multiplier = scale_bits(requantize, reloadable=True) + zeros
    # The design's own parameters are stored with the same zeros at the end.
    missing = max(zeros - _zeros_at_end(requantize), 0)
    return max(bits + missing, bias + multiplier + 1)


def zeros_at_end(value: int) -> int:
    """Count the zeros below the lowest 1 of a positive number."""
    return (value & -value).bit_length() - 1


def _only_shifts(requantize: Requantize, *, reloadable: bool) -> bool:
    """Whether every multiplier is 1, or with offsets the same power of two.

    A reloadable requantizer that rounds twice has a multiplier in any case: multipliers with more
    zeros and larger shifts would move the first rounding.
    """
    if requantize.negative is not None or (reloadable and requantize.rounding is Rounding.TFLITE):
        return False
    unit = 1 << (0 if requantize.offset is None else _zeros_at_end(requantize))
    return bool((requantize.multiplier == unit).all())


def _zeros_at_end(requantize: Requantize) -> int:
    factors = int(np.bitwise_or.reduce(requantize.multiplier))
    return zeros_at_end(factors) if factors else 0
