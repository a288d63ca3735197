"""Real scales as multipliers and shifts, and where their rounding can be seen in results."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import isclose

import numpy as np
from numpy.typing import ArrayLike, NDArray

from systolith.exchange.values.quantizer import FloatArray, Quantizer
from systolith.exchange.values.value import Pending, Term
from systolith.network import (
    MAX_MULTIPLIER_BITS,
    MAX_OFFSET_BITS,
    MAX_SHIFT,
    IntArray,
    Requantize,
    requantize,
)

__all__ = ["Scaled", "equal_for_all_pairs", "real_scale", "scale_and_offset", "true_ties"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scaled:
    """Scales as ``multiplier / 2**shift``.

    Attributes
    ----------
    multiplier : array of int64, shape (channels,)
        0 and up, of so many bits.
    shift : array of int64, shape (channels,) or (1,)
        0..47; one for all channels where that loses nothing.
    error : array of float64, shape (channels,)
        How far each is off, absolute; 0 where the scale is met exactly.
    """

    multiplier: IntArray
    shift: IntArray
    error: NDArray[np.float64]

    @property
    def exact(self) -> bool:
        """Whether all scales are met exactly."""
        return not self.error.any()


def real_scale(scale: ArrayLike, bits: int = MAX_MULTIPLIER_BITS) -> Scaled:
    """Write positive real scales as integers, each with all the bits that a multiplier has.

    Powers of two, and whatever else has no more significant bits, are met exactly. Others are off
    by ``2**-bits`` of themselves at most, or by 2**-48 if that is more.

    Parameters
    ----------
    scale : array of float, shape (channels,)
        Less than ``2**bits``; zero stands for channels that are 0 throughout.
    bits : int
        Of multipliers, 1..24.

    Raises
    ------
    ValueError
        If a scale is out of range.

    Examples
    --------
    >>> found = real_scale([0.75, 0.25])
    >>> found.multiplier, found.shift, found.exact
    (array([3, 1]), array([2]), True)
    """
    scales = np.asarray(scale, dtype=np.float64)
    largest = (1 << bits) - 1
    if not (np.isfinite(scales).all() and (scales >= 0).all() and (scales <= largest).all()):
        raise ValueError(f"scales must lie in 0..{largest}, got {scales.tolist()}")
    # frexp: scale = fraction * 2**exponent with a fraction of at least one half.
    _, exponent = np.frexp(scales)
    shift = np.clip(bits - exponent, 0, MAX_SHIFT).astype(np.int64)
    multiplier = np.rint(scales * np.exp2(shift)).astype(np.int64)
    shift = np.where(multiplier > largest, shift - 1, shift)
    multiplier = np.rint(scales * np.exp2(shift)).astype(np.int64)
    multiplier, shift = _reduced(multiplier, shift)
    multiplier, shift = _shared(multiplier, shift, largest)
    met = multiplier * np.exp2(-shift.astype(np.float64))
    return Scaled(multiplier=multiplier, shift=shift, error=np.abs(scales - met))


def scale_and_offset(
    scale: FloatArray, offset: FloatArray, bits: int = MAX_MULTIPLIER_BITS
) -> tuple[Scaled, IntArray]:
    """Write scales, and what is added to the product, with all the bits that they may have.

    Parameters
    ----------
    scale, offset : array of float64, shape (channels,)
        Scales as in :func:`real_scale`; offsets of a few times 2**16 at most.
    bits : int

    Returns
    -------
    Scaled, array of int64, shape (channels,)
        Offsets count ``2**-shift``.

    Examples
    --------
    >>> scaled, added = scale_and_offset(np.array([0.75]), np.array([0.3]), 4)
    >>> scaled.multiplier, scaled.shift, added
    (array([12]), array([4]), array([5]))
    """
    _, exponent = np.frexp(scale)
    _, size = np.frexp(offset)
    shift = np.where(scale == 0, bits - exponent.max(), bits - exponent)
    shift = np.minimum(shift.clip(0, MAX_SHIFT), MAX_OFFSET_BITS - 2 - size.clip(0))
    rounded_up = np.rint(np.ldexp(scale, shift)) >= 1 << bits
    shift = np.where(rounded_up, shift - 1, shift).astype(np.int64)
    multiplier = np.rint(np.ldexp(scale, shift)).astype(np.int64)
    error = np.abs(scale - np.ldexp(multiplier.astype(np.float64), -shift))
    added = np.rint(np.ldexp(offset, shift)).astype(np.int64)
    return Scaled(multiplier=multiplier, shift=shift, error=error), added


def _reduced(multiplier: IntArray, shift: IntArray) -> tuple[IntArray, IntArray]:
    """Take out common factors of two, channel by channel."""
    shift = np.where(multiplier == 0, 0, shift)
    while (even := (multiplier % 2 == 0) & (shift > 0)).any():
        multiplier = np.where(even, multiplier // 2, multiplier)
        shift = np.where(even, shift - 1, shift)
    return multiplier, shift


def _shared(multiplier: IntArray, shift: IntArray, largest: int) -> tuple[IntArray, IntArray]:
    """Use one shift for all channels if their multipliers stay within their bits."""
    most = int(shift.max())
    widened = [
        value << (most - by) for value, by in zip(multiplier.tolist(), shift.tolist(), strict=True)
    ]
    if max(widened) <= largest:
        return np.array(widened, dtype=np.int64), np.array([most])
    return multiplier, shift


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
