"""Requantization of layers whose negative results are multiplied by a slope."""

from dataclasses import replace
from math import isclose

import numpy as np

from systolith.exchange.values.quantizer import (
    HALF_TO_PLUS_INFINITY,
    FloatArray,
    Quantizer,
)
from systolith.exchange.values.value import PendingLayer
from systolith.network import FITTED_SHIFT, IntArray, Requantize, Rounding

__all__ = ["SlopedScales", "fit_slopes", "nearest_biases", "take_half"]

BIAS_TOLERANCE = 2.0**-22
"""Relative difference below which float32 cannot tell a bias from a whole number of steps."""


class SlopedScales:
    """Multipliers of sums of either sign, with one shift.

    Attributes
    ----------
    multiplier, negative : array of int64, shape (channels,)
    shift : array of int64, shape (channels,) or (1,)
    error : array of float64, shape (channels,)
        Greatest error of either scale.
    """

    def __init__(self, ratio: FloatArray, slope: FloatArray, bits: int) -> None:
        wanted = np.stack([ratio, ratio * slope])
        largest = np.abs(wanted).max(axis=0)
        _, exponent = np.frexp(largest)
        shift = np.clip(bits - exponent, 0, FITTED_SHIFT).astype(np.int64)
        # What is rounded up to a power of two needs one bit more.
        shift -= (np.rint(largest * np.exp2(shift)) >= 1 << bits) & (shift > 0)
        factors = np.rint(wanted * np.exp2(shift)).astype(np.int64)
        common = np.bitwise_or.reduce(np.abs(factors))
        zeros = np.where(common > 0, np.log2(np.maximum(common & -common, 1)), shift)
        zeros = np.minimum(zeros.astype(np.int64), shift)
        factors, shift = factors >> zeros, shift - zeros
        # One shift for all channels takes no barrel shifter.
        raised = factors << (shift.max() - shift)
        if np.abs(raised).max(initial=0) < 1 << bits:
            factors, shift = raised, shift.max(keepdims=True)
        self.multiplier, self.negative = factors
        self.shift = shift
        met = factors * np.exp2(-shift.astype(np.float64))
        self.error = np.abs(wanted - met).max(axis=0)

    @property
    def exact(self) -> bool:
        """Whether all scales are exact."""
        return not self.error.any()


def take_half(
    pending: PendingLayer, quantizer: Quantizer
) -> tuple[PendingLayer, Quantizer] | list[str]:
    """Take half a unit that is added in front of a Floor as a rounding to nearest."""
    if not pending.raised:
        return pending, quantizer
    if quantizer.rounding == "FLOOR" and isclose(pending.raised, quantizer.scale / 2, rel_tol=1e-6):
        half = replace(quantizer, rounding=HALF_TO_PLUS_INFINITY)
        return replace(pending, raised=0.0), half
    return ["adds a constant behind a slope of negative values; put a quantizer between"]


def nearest_biases(pending: PendingLayer, ratio: FloatArray) -> tuple[IntArray, FloatArray]:
    """Round offsets to whole steps of the accumulator.

    Returns
    -------
    bias : array of int64, shape (channels,)
    error : array of float64, shape (channels,)
        In units of the output; 0 where float32 cannot tell the offset from its bias.
    """
    silent = pending.scale == 0
    wanted = np.where(silent, 0.0, pending.offset / np.where(silent, 1.0, pending.scale))
    bias = np.rint(wanted)
    moved = np.abs(wanted - bias)
    moved = np.where(moved <= np.maximum(np.abs(bias), 1) * BIAS_TOLERANCE, 0.0, moved)
    return bias.astype(np.int64), moved * ratio


def fit_slopes(
    pending: PendingLayer, quantizer: Quantizer, rounding: Rounding, bits: int
) -> tuple[Requantize, IntArray, float] | list[str]:
    """Choose multipliers of sums of either sign, and biases.

    Biases are rounded to whole steps of the accumulator: the sign of the sum chooses the
    multiplier, and the bias is added before that.

    Returns
    -------
    spec : Requantize
    bias : array of int64, shape (channels,)
    units : float
        Greatest difference from the file before rounding, in units of the output.
    """
    assert pending.slope is not None
    ratio = pending.scale / quantizer.scale
    slope = np.broadcast_to(pending.slope, ratio.shape)
    bias, moved = nearest_biases(pending, ratio)
    if bias.any() and not pending.biased:
        return ["adds constants in front of a slope; put a layer with weights before it"]
    steepest = np.maximum(np.abs(slope), 1.0)
    if not (ratio * steepest < 1 << bits).all():
        return [f"has slopes whose ratios to the output's scale do not fit {bits}-bit multipliers"]
    scaled = SlopedScales(ratio, slope, bits)
    exact = scaled.exact and not moved.any()
    way = Rounding.HALF_UP if rounding is Rounding.HALF_EVEN and not exact else rounding
    reached = max(abs(bound) for bound in pending.sum_range(bias))
    units = float((scaled.error * reached + moved * steepest).max())
    spec = Requantize(
        multiplier=scaled.multiplier, shift=scaled.shift, negative=scaled.negative, rounding=way
    )
    return spec, bias, units
