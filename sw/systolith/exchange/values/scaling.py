"""Real scales as multipliers and shifts, and whether their rounding changes results."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import isclose

import numpy as np
from numpy.typing import ArrayLike, NDArray

from systolith.exchange.values.quantizer import FloatArray, Quantizer
from systolith.exchange.values.thresholds import FLOAT64_ERROR
from systolith.exchange.values.value import PendingLayer, Term
from systolith.network import (
    FITTED_MULTIPLIER_BITS,
    FITTED_SHIFT,
    MAX_OFFSET_BITS,
    IntArray,
    Requantize,
    requantize,
)

__all__ = [
    "IntegerScale",
    "fit_scale",
    "fit_scale_and_offset",
    "has_true_ties",
    "is_exact_addition",
]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class IntegerScale:
    """Scales as ``multiplier / 2**shift``.

    Attributes
    ----------
    multiplier : array of int64, shape (channels,)
        At least 0.
    shift : array of int64, shape (channels,) or (1,)
        0..47; a single one if that loses nothing.
    error : array of float64, shape (channels,)
        Absolute error of each scale; 0 where the scale is exact.
    """

    multiplier: IntArray
    shift: IntArray
    error: NDArray[np.float64]

    @property
    def exact(self) -> bool:
        """Whether all scales are exact."""
        return not self.error.any()


def fit_scale(scale: ArrayLike, bits: int = FITTED_MULTIPLIER_BITS) -> IntegerScale:
    """Find multipliers of up to `bits` bits, and shifts, for scales that are not negative.

    Scales with at most `bits` significant bits, such as powers of two, are exact. The error of the
    others is at most ``2**-bits`` of the scale, or 2**-48 if that is more.

    Parameters
    ----------
    scale : array of float, shape (channels,)
        Less than ``2**bits``; 0 for channels that are always 0.
    bits : int
        Bit width of the multipliers, 1..24.

    Raises
    ------
    ValueError
        If a scale is out of range.

    Examples
    --------
    >>> scale = fit_scale([0.75, 0.25])
    >>> scale.multiplier, scale.shift, scale.exact
    (array([3, 1]), array([2]), True)
    """
    scales = np.asarray(scale, dtype=np.float64)
    largest = (1 << bits) - 1
    if not (np.isfinite(scales).all() and (scales >= 0).all() and (scales <= largest).all()):
        raise ValueError(f"scales must lie in 0..{largest}, got {scales.tolist()}")
    # frexp: scale = fraction * 2**exponent with a fraction of at least one half.
    _, exponent = np.frexp(scales)
    shift = np.clip(bits - exponent, 0, FITTED_SHIFT).astype(np.int64)
    multiplier = np.rint(scales * np.exp2(shift)).astype(np.int64)
    shift = np.where(multiplier > largest, shift - 1, shift)
    multiplier = np.rint(scales * np.exp2(shift)).astype(np.int64)
    multiplier, shift = _reduce(multiplier, shift)
    multiplier, shift = _share_shift(multiplier, shift, largest)
    met = multiplier * np.exp2(-shift.astype(np.float64))
    return IntegerScale(multiplier=multiplier, shift=shift, error=np.abs(scales - met))


def fit_scale_and_offset(
    scale: FloatArray, offset: FloatArray, bits: int = FITTED_MULTIPLIER_BITS
) -> tuple[IntegerScale, IntArray]:
    """Find multipliers, shifts and offsets for scales and for constants added to the product.

    Parameters
    ----------
    scale, offset : array of float64, shape (channels,)
        Scales as in :func:`fit_scale`; offsets of at most a few times 2**16.
    bits : int

    Returns
    -------
    Scaled, array of int64, shape (channels,)
        Scales, and offsets in units of ``2**-shift``.

    Examples
    --------
    >>> scaled, added = fit_scale_and_offset(np.array([0.75]), np.array([0.3]), 4)
    >>> scaled.multiplier, scaled.shift, added
    (array([12]), array([4]), array([5]))
    """
    _, exponent = np.frexp(scale)
    _, size = np.frexp(offset)
    shift = np.where(scale == 0, bits - exponent.max(), bits - exponent)
    shift = np.minimum(shift.clip(0, FITTED_SHIFT), MAX_OFFSET_BITS - 2 - size.clip(0))
    rounded_up = np.rint(np.ldexp(scale, shift)) >= 1 << bits
    shift = np.where(rounded_up, shift - 1, shift).astype(np.int64)
    multiplier = np.rint(np.ldexp(scale, shift)).astype(np.int64)
    error = np.abs(scale - np.ldexp(multiplier.astype(np.float64), -shift))
    added = np.rint(np.ldexp(offset, shift)).astype(np.int64)
    return IntegerScale(multiplier=multiplier, shift=shift, error=error), added


def _reduce(multiplier: IntArray, shift: IntArray) -> tuple[IntArray, IntArray]:
    """Remove factors of two that multiplier and shift of a channel have in common."""
    shift = np.where(multiplier == 0, 0, shift)
    while (even := (multiplier % 2 == 0) & (shift > 0)).any():
        multiplier = np.where(even, multiplier // 2, multiplier)
        shift = np.where(even, shift - 1, shift)
    return multiplier, shift


def _share_shift(multiplier: IntArray, shift: IntArray, largest: int) -> tuple[IntArray, IntArray]:
    """Use one shift for all channels if their multipliers then still fit."""
    most = int(shift.max())
    widened = [
        value << (most - by) for value, by in zip(multiplier.tolist(), shift.tolist(), strict=True)
    ]
    if max(widened) <= largest:
        return np.array(widened, dtype=np.int64), np.array([most])
    return multiplier, shift


MAX_PAIRS = 1 << 20
"""Additions with more pairs of values, over all channels, are not compared."""


def is_exact_addition(
    terms: Sequence[Term], offset: FloatArray, spec: Requantize, quantizer: Quantizer
) -> bool:
    """Whether an addition equals the quantizer for all pairs of values of its terms.

    Parameters
    ----------
    terms : sequence of two Term
    offset : array of float64, shape (channels,)
        Constant that is added to the real sum.
    spec : Requantize
        Includes the clamp.
    quantizer : Quantizer
        Rounding other than ties to even, or down, gives False.
    """
    if len(terms) != 2 or quantizer.rounding not in ("ROUND", "HALF_EVEN", "FLOOR"):
        return False
    first, second = (term.centred for term in terms)
    if first.size * second.size * offset.size > MAX_PAIRS:
        return False
    acc = first[:, None] * terms[0].multiplier + second * terms[1].multiplier
    ours = requantize(np.broadcast_to(acc, (offset.size, *acc.shape))[None], spec, quantizer.type)
    low, high = spec.clamp or (quantizer.type.low, quantizer.type.high)
    parts = first[:, None] * terms[0].scale, second * terms[1].scale
    for channel, constant in enumerate(offset.tolist()):
        real = (parts[0] + parts[1] + constant) / quantizer.scale
        size = (np.abs(parts[0]) + np.abs(parts[1]) + abs(constant)) / quantizer.scale + 1
        edge = real if quantizer.rounding == "FLOOR" else real - 0.5
        unclear = np.abs(edge - np.rint(edge)) <= FLOAT64_ERROR * size
        theirs = _round(real, quantizer).clip(low, high)
        for x, y in zip(*np.nonzero(unclear), strict=True):
            exact = (
                Fraction(terms[0].scale) * int(first[x])
                + Fraction(terms[1].scale) * int(second[y])
                + Fraction(constant)
            ) / Fraction(quantizer.scale)
            theirs[x, y] = min(max(_round_exactly(exact, quantizer), low), high)
        if not np.array_equal(ours[0, channel], theirs):
            return False
    return True


def _round(real: FloatArray, quantizer: Quantizer) -> IntArray:
    down = quantizer.rounding == "FLOOR"
    whole = quantizer.type.zero_point + np.floor(real if down else real + 0.5)
    return np.asarray(whole.clip(-(2.0**40), 2.0**40).astype(np.int64))


def _round_exactly(real: Fraction, quantizer: Quantizer) -> int:
    zero = quantizer.type.zero_point
    if quantizer.rounding == "FLOOR":
        return real // 1 + zero
    return round(real + zero) if quantizer.after_zero_point else round(real) + zero


MAX_DENOMINATOR = 1 << 12
"""Greatest denominator of a ratio that is meant as a fraction, such as 1/6."""
TO_NEAREST = ("ROUND", "HALF_EVEN")


def has_true_ties(pending: PendingLayer, quantizer: Quantizer) -> bool:
    """Whether sums of a layer reach half a step of the output at a ratio such as 1/6.

    No multiplier and shift equal such a ratio. The hardware's ratio is slightly less or more, so
    it may round a tie to the odd integer where the file rounds it to the even one.
    """
    if quantizer.rounding not in TO_NEAREST or pending.step is not None:
        return False
    low, high = pending.sum_range(np.zeros(pending.scale.shape, dtype=np.int64))
    reached = max(abs(low), abs(high))
    for scale in pending.scale.tolist():
        ratio = scale / quantizer.scale
        near = Fraction(ratio).limit_denominator(MAX_DENOMINATOR)
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
