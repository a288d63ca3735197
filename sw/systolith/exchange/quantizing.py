"""How layers give the same integers as the quantizers of float graphs."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import inf, isclose

import numpy as np

from systolith.exchange.quantizer import HALF_TO_PLUS_INFINITY, OF_POSITIVE, FloatArray, Quantizer
from systolith.exchange.scaling import Scaled, real_scale
from systolith.exchange.values import Pending
from systolith.network import MAX_MULTIPLIER_BITS, IntArray, Requantize, Rounding

__all__ = ["Requantized", "requantized"]

LARGEST_BIAS = 1 << 39
NOISE = 2.0**-20
"""Scales are stored as float32: biases are whole numbers of steps but for this share of them."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Requantized:
    """How a pending layer is quantized.

    Attributes
    ----------
    spec : Requantize
    bias : array of int64, shape (channels,)
        At accumulator scale.
    units : float
        By how much the result may differ from the real one, before it is rounded, in units of the
        output; 0 if it never does.
    """

    spec: Requantize
    bias: IntArray
    units: float


def requantized(
    pending: Pending, quantizer: Quantizer, bits: int = MAX_MULTIPLIER_BITS
) -> Requantized | list[str]:
    """Bring a layer's accumulators to a quantizer's type, or say why that cannot be."""
    if pending.step is not None:
        if not isclose(pending.step, quantizer.scale, rel_tol=NOISE):
            return [
                f"quantizes in steps of {quantizer.scale:g} what Floor made of {pending.step:g}"
            ]
        return requantized(replace(pending, step=None), replace(quantizer, rounding="FLOOR"), bits)
    if quantizer.rounding == "FLOOR" and _adds_half(pending, quantizer.scale):
        left = pending.offset - quantizer.scale / 2 if pending.biased else np.zeros(1)
        half = replace(pending, offset=left)
        return requantized(half, replace(quantizer, rounding=HALF_TO_PLUS_INFINITY), bits)
    silent = pending.scale == 0
    ratio = np.where(silent, 0.0, pending.scale / quantizer.scale)
    unit = np.where(silent, 1.0, pending.scale)
    wanted = pending.offset / unit
    bias = np.rint(wanted).astype(np.int64)
    positive = pending.low >= 0 and quantizer.type.zero_point == 0
    rounding = quantizer.mode(positive=positive)
    problems = list(_problems(pending, quantizer, ratio, rounding, bits))
    if problems or rounding is None:
        return problems
    scaled = real_scale(ratio, bits)
    if rounding is Rounding.HALF_EVEN and quantizer.after_zero_point and _has_ties(scaled):
        if quantizer.type.zero_point % 2:
            return [
                (
                    f"rounds ties to even after adding zero point {quantizer.type.zero_point}, "
                    "which is odd; an even one is supported, or ONNX's own quantizers"
                )
            ]
    span = quantizer.high - quantizer.low + 1
    units = _units(pending, scaled, ratio, bias, np.abs(wanted - bias), span)
    if rounding is Rounding.HALF_EVEN and not _has_ties(scaled):
        rounding = Rounding.HALF_UP
    spec = Requantize(
        multiplier=scaled.multiplier,
        shift=scaled.shift,
        rounding=rounding,
        clamp=_clamp(pending, quantizer, rounding),
    )
    return Requantized(spec=spec, bias=bias, units=units)


def _adds_half(pending: Pending, scale: float) -> bool:
    """Whether an offset makes sense as half a unit of the output and a bias, not as a bias."""
    unit = np.where(pending.scale == 0, 1.0, pending.scale)

    def is_bias(offset: FloatArray) -> bool:
        steps = offset / unit if pending.biased else np.abs(offset) / scale
        whole = np.rint(steps) if pending.biased else np.zeros_like(steps)
        fits = np.abs(steps) < LARGEST_BIAS
        return bool((fits & (np.abs(steps - whole) <= NOISE * np.maximum(np.abs(steps), 1))).all())

    return not is_bias(pending.offset) and is_bias(pending.offset - scale / 2)


def _problems(
    pending: Pending, quantizer: Quantizer, ratio: FloatArray, rounding: Rounding | None, bits: int
) -> Iterator[str]:
    if rounding is None:
        yield (
            f"rounds by '{quantizer.rounding}', which is supported for results that are never "
            "negative only"
            if quantizer.rounding in OF_POSITIVE
            else f"rounds by '{quantizer.rounding}'; ROUND (ties to even) and FLOOR are supported"
        )
    if (ratio > (1 << bits) - 1).any():
        yield (
            f"has a scale, {quantizer.scale:g}, so small beside the accumulator's that the ratio "
            f"does not fit {bits}-bit multipliers"
        )
    if pending.offset.any() and not pending.biased:
        yield "adds a constant where no layer with a bias comes before it"


def _clamp(pending: Pending, quantizer: Quantizer, rounding: Rounding) -> tuple[int, int] | None:
    """Bounds of the result, where they are narrower than its type."""
    low, high = quantizer.low, quantizer.high
    if pending.low > -inf:
        low = max(low, int(quantizer.of(np.array(pending.low), rounding)))
    if pending.high < inf:
        high = min(high, int(quantizer.of(np.array(pending.high), rounding)))
    return None if (low, high) == (quantizer.type.low, quantizer.type.high) else (low, high)


def _units(
    pending: Pending,
    scaled: Scaled,
    ratio: FloatArray,
    bias: IntArray,
    moved: FloatArray,
    span: int,
) -> float:
    """Bound by how much the scaled result is off: multiplier and bias are rounded."""
    # Scales of float32 are met to 2**-22; biases stored as integers are off by no more than that.
    moved = np.where(moved <= np.maximum(np.abs(bias), 1) * NOISE, 0.0, moved)
    reached = max(abs(bound) for bound in pending.accumulated(bias))
    # What is cut off to the type's range may be off by more.
    within = np.divide(span, ratio, out=np.zeros_like(ratio), where=ratio > 0)
    return float((scaled.error * np.minimum(reached, within) + moved * ratio).max())


def _has_ties(scaled: Scaled) -> bool:
    """Whether halves come up often enough that rounding them up would show."""
    return scaled.exact
