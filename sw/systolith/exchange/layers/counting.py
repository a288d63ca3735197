"""Layers that count thresholds, of any distances, that differ by channel."""

from fractions import Fraction
from math import ceil

import numpy as np

from systolith.exchange.errors import ExchangeError
from systolith.exchange.layers.draft import Draft
from systolith.exchange.values.quantizer import FloatArray
from systolith.exchange.values.requantizers import Affine
from systolith.exchange.values.thresholds import Staircase, find_exact_requantizer
from systolith.exchange.values.value import PendingLayer, QuantizedActivation
from systolith.network import ActType, IntArray, Requantize, Rounding

__all__ = ["make_counting"]

SEARCHED_BITS = 4
"""Bits up to which a count costs less as a search for thresholds than a multiplier does."""


def make_counting(
    pending: PendingLayer, thresholds: FloatArray, zero_point: int, draft: Draft
) -> QuantizedActivation:
    """Make a layer whose result is the number of thresholds that each value reaches.

    If a shift gives the same count for every accumulator, or a multiplier where counts have many
    bits, the layer has these in place of thresholds.

    Parameters
    ----------
    pending : PendingLayer
    thresholds : array of float64, shape (channels, levels) or (1, levels)
        Ascending, in the order of the layer's channels.
    zero_point : int
        Of the counts.
    draft : Draft

    Raises
    ------
    ExchangeError
        If accumulators do not say exactly which thresholds are reached.
    """
    if any(pending.padding):
        raise ExchangeError.of("counts the thresholds that padding reaches; pad after it")
    if pending.error and not draft.lenient:
        raise ExchangeError.of(
            "counts thresholds of sums that are not whole numbers of one step; put a quantizer "
            "before it"
        )
    if pending.slope is not None and (
        (pending.slope <= 0).any() or pending.step is not None or pending.raised
    ):
        raise ExchangeError.of(
            "counts thresholds of slopes of 0 or less, or with an added constant; put a quantizer "
            "before it"
        )
    levels = thresholds.shape[1]
    output = ActType(bits=levels.bit_length(), signed=False, zero_point=zero_point)
    channels = pending.shape[0]
    if draft.lenient:
        spec, bias = Requantize.by_thresholds(np.zeros((1, levels), int)), np.zeros(channels, int)
        real = Affine(scale=np.ones(1), offset=np.zeros(1))
        return draft.make_quantized(pending, spec, bias, output, real=real)
    low, high = pending.sum_range(np.zeros(channels, dtype=np.int64))
    first = _least_sums(pending, np.broadcast_to(thresholds, (channels, levels)), (low, high))
    scaled_levels = np.arange(1, levels + 1) - zero_point
    stairs = Staircase(levels=scaled_levels, first=first, low=low, high=high)
    silent = pending.scale == 0
    real = Affine(
        scale=np.ones(1),
        offset=np.where(silent, 0.0, pending.offset / np.where(silent, 1.0, pending.scale)),
    )
    scaled = _scale_instead(stairs, pending, draft.multiplier_bits)
    if scaled is not None:
        spec, bias = scaled
        unit = 2.0**-spec.shift
        moved = bias * spec.multiplier + (0 if spec.offset is None else spec.offset)
        real = Affine(scale=spec.multiplier * unit, offset=moved * unit)
        return draft.make_quantized(pending, spec, bias, output, real=real)
    rows = first[:1] if (first == first[0]).all() else first
    bias = np.zeros(channels, dtype=np.int64)
    return draft.make_quantized(pending, Requantize.by_thresholds(rows), bias, output, real=real)


def _least_sums(pending: PendingLayer, thresholds: FloatArray, sums: tuple[int, int]) -> IntArray:
    """Compute the least accumulator that reaches each threshold, without rounding.

    It is one more than the greatest accumulator if none does.
    """
    low, high = sums
    shape = (len(thresholds),)
    scales = np.broadcast_to(pending.scale, shape).tolist()
    offsets = np.broadcast_to(pending.offset, shape).tolist()
    step = None if pending.step is None else Fraction(pending.step)
    slopes = np.broadcast_to(1.0 if pending.slope is None else pending.slope, shape).tolist()
    first = np.empty(thresholds.shape, dtype=np.int64)
    for channel, row in enumerate(thresholds.tolist()):
        scale, offset = Fraction(scales[channel]), Fraction(offsets[channel])
        for level, wanted in enumerate(row):
            if wanted <= pending.low or wanted > pending.high:
                first[channel, level] = low if wanted <= pending.low else high + 1
                continue
            # Values that were rounded down reach a threshold from the next multiple on.
            reach = Fraction(wanted) if step is None else ceil(Fraction(wanted) / step) * step
            if reach < 0:
                reach /= Fraction(slopes[channel])
            if scale == 0:
                first[channel, level] = low if offset >= reach else high + 1
            else:
                first[channel, level] = min(max(ceil((reach - offset) / scale), low), high + 1)
    return first


def _scale_instead(
    stairs: Staircase, pending: PendingLayer, bits: int
) -> tuple[Requantize, IntArray] | None:
    """Find a requantization with the same counts, and its biases; None if thresholds cost less."""
    levels = stairs.levels.size
    inside = (stairs.first > stairs.low) & (stairs.first <= stairs.high)
    if levels == 1 or not inside.all():
        return None
    extent = (stairs.first[:, -1] - stairs.first[:, 0]).astype(np.float64)
    if (extent <= 0).any():
        return None
    ratio = (levels - 1) / extent
    offset = stairs.levels[0] - ratio * stairs.first[:, 0]
    most = bits if levels.bit_length() > SEARCHED_BITS else 1
    # Powers of two are exact only if the ratio is.
    mantissa, exponent = np.frexp(ratio)
    if most == 1:
        ratio = np.ldexp(0.5, exponent) * np.where(mantissa > 0.75, 2.0, 1.0)
    exact = find_exact_requantizer(stairs, ratio, offset, most, Rounding.FLOOR)
    if exact is None or (most == 1 and (exact.multiplier != exact.multiplier[0]).any()):
        return None
    bias, added = np.zeros(len(stairs.first), dtype=np.int64), None
    if pending.biased and exact.bias is not None:
        bias = exact.bias
    else:
        added = exact.offset
    full = (1 << levels.bit_length()) - 1
    spec = Requantize(
        multiplier=exact.multiplier,
        shift=np.array([exact.shift]),
        offset=added,
        rounding=exact.rounding,
        clamp=None if levels == full else (0, levels),
    )
    return spec, bias
