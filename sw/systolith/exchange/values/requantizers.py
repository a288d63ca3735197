"""How layers give the same integers as the quantizers of float graphs."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import inf, isclose

import numpy as np

from systolith.exchange.values.quantizer import (
    HALF_TO_PLUS_INFINITY,
    OF_POSITIVE,
    FloatArray,
    Quantizer,
)
from systolith.exchange.values.scaling import (
    equal_for_all_pairs,
    real_scale,
    scale_and_offset,
)
from systolith.exchange.values.thresholds import Staircase, Steps, found_steps, staircase
from systolith.exchange.values.value import Pending
from systolith.network import MAX_MULTIPLIER_BITS, IntArray, Requantize, Rounding

__all__ = ["Affine", "Requantized", "requantized"]

LARGEST_BIAS = 1 << 39
LARGEST_OFFSET = 1 << 61
NOISE = 2.0**-20
"""Scales are stored as float32: equal ones may differ by this share of them."""
BIAS_NOISE = 2.0**-22
"""A float32 cannot tell a bias from a whole number of steps that differs by this share of it."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Affine:
    """What a file computes before it rounds: ``scale * acc + offset``, in units of the output.

    Attributes
    ----------
    scale, offset : array of float64, shape (channels,) or (1,)
        For accumulators without bias.
    error : float
        How far the file's own value is from that at most.
    """

    scale: FloatArray
    offset: FloatArray
    error: float = 0.0


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
    real : Affine
        That real one.
    """

    spec: Requantize
    bias: IntArray
    units: float
    real: Affine


def requantized(
    pending: Pending, quantizer: Quantizer, bits: int = MAX_MULTIPLIER_BITS
) -> Requantized | list[str]:
    """Bring a layer's accumulators to a quantizer's type, or say why that cannot be.

    Whole biases stay biases, and multipliers have all their bits. What lies between two steps of
    the accumulator makes the narrowest multipliers and offsets that give the same result for every
    accumulator; if there are none, those of all bits.
    """
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
    pending = _whole(pending)
    ratio = pending.scale / quantizer.scale
    rounding = quantizer.mode(positive=pending.low >= 0 and quantizer.type.zero_point == 0)
    problems = list(_problems(quantizer, ratio, rounding, bits))
    if problems or rounding is None:
        return problems
    clamp = _clamp(pending, quantizer, rounding)
    stairs = _staircase(pending, quantizer, rounding, clamp)
    bias = _bias(pending, quantizer)
    if bias is None:
        found = _with_offsets(pending, quantizer, rounding, bits, stairs)
    else:
        found = _with_biases(pending, quantizer, rounding, bits, stairs, bias)
    if isinstance(found, list):
        return found
    spec = replace(found.spec, clamp=clamp)
    units = found.units + found.real.error
    if pending.terms and equal_for_all_pairs(pending.terms, pending.offset, spec, quantizer):
        units = 0.0
    return replace(found, spec=spec, units=units)


def _whole(pending: Pending) -> Pending:
    """Give each channel its own scale and offset."""
    shape = (
        (pending.shape[0],)
        if pending.biased
        else np.broadcast_shapes(pending.scale.shape, pending.offset.shape)
    )
    return replace(
        pending,
        scale=np.broadcast_to(pending.scale, shape),
        offset=np.broadcast_to(pending.offset, shape),
    )


def _bias(pending: Pending, quantizer: Quantizer) -> IntArray | None:
    """Offsets as whole steps of the accumulator; None if they are none.

    Files store float32: what differs from a whole number by less than its rounding is one. Layers
    without weights have no bias; 0 is one.
    """
    silent = pending.scale == 0
    wanted = pending.offset / np.where(silent, 1.0, pending.scale)
    if (np.abs(wanted) >= LARGEST_BIAS).any():
        return None
    bias = np.rint(wanted).astype(np.int64)
    close = np.abs(wanted - bias) <= np.maximum(np.abs(bias), 1) * BIAS_NOISE
    # A channel without accumulators has no steps either: it can only be what 0 is.
    rounding = quantizer.mode(positive=pending.low >= 0) or Rounding.HALF_EVEN
    same = quantizer.of(pending.offset, rounding) == quantizer.of(np.zeros(1), rounding)
    if quantizer.after_zero_point:  # ties then depend on the zero point
        same &= np.mod(pending.offset / quantizer.scale, 1) != 0.5
    bias = np.where(silent, 0, bias)
    if not np.where(silent, same, close).all() or (bias.any() and not pending.biased):
        return None
    return bias


def _staircase(
    pending: Pending,
    quantizer: Quantizer,
    rounding: Rounding,
    clamp: tuple[int, int] | None,
) -> Staircase | None:
    """What the file says, for every accumulator; None if that cannot be told."""
    if pending.error:
        return None
    act = quantizer.type
    least, most = clamp or (act.low, act.high)
    bias, offset = _bias(pending, quantizer), pending.offset
    if bias is not None:
        offset = np.where(pending.scale == 0, offset, bias * pending.scale)
    return staircase(
        pending.scale,
        offset,
        quantizer.scale,
        rounding=rounding,
        levels=(least - act.zero_point, most - act.zero_point),
        sums=pending.accumulated(np.zeros(len(pending.scale), dtype=np.int64)),
        odd=quantizer.after_zero_point and act.zero_point % 2 == 1,
    )


def _with_biases(
    pending: Pending,
    quantizer: Quantizer,
    rounding: Rounding,
    bits: int,
    stairs: Staircase | None,
    bias: IntArray,
) -> Requantized | list[str]:
    """Multipliers of all bits, behind whole biases."""
    ratio = pending.scale / quantizer.scale
    scaled = real_scale(ratio, bits)
    if scaled.exact and (problems := _ties_to_odd(quantizer, rounding)):
        return problems
    # Ties come up where the scale is met exactly only.
    way = Rounding.HALF_UP if rounding is Rounding.HALF_EVEN and not scaled.exact else rounding
    added = bias * scaled.multiplier.astype(object)
    met = scaled.exact or (
        stairs is not None
        and max(map(abs, added.tolist())) < LARGEST_OFFSET
        and stairs.contains(scaled.multiplier, scaled.shift, added.astype(np.int64), way)
    )
    reached = max(abs(bound) for bound in pending.accumulated(bias))
    span = quantizer.high - quantizer.low + 1
    # What is cut off to the type's range may be off by more.
    within = np.divide(span, ratio, out=np.zeros_like(ratio), where=ratio > 0)
    units = 0.0 if met else float((scaled.error * np.minimum(reached, within)).max())
    spec = Requantize(multiplier=scaled.multiplier, shift=scaled.shift, rounding=way)
    return Requantized(spec=spec, bias=bias, units=units, real=_real(pending, quantizer))


def _with_offsets(
    pending: Pending,
    quantizer: Quantizer,
    rounding: Rounding,
    bits: int,
    stairs: Staircase | None,
) -> Requantized | list[str]:
    """The narrowest multipliers that are as good as the file's scales, or those of all bits."""
    ratio, offset = pending.scale / quantizer.scale, pending.offset / quantizer.scale
    least, most = pending.accumulated(np.zeros(len(ratio), dtype=np.int64))
    reached = max(abs(least), abs(most))
    # Beyond this, no accumulator brings the result back into the type's range.
    range_ = max(abs(quantizer.type.low), abs(quantizer.type.high)) * 2 + 1
    offset = offset.clip(-range_ - ratio * reached, range_ + ratio * reached)
    if stairs and (steps := found_steps(stairs, ratio, offset, bits, rounding)):
        return _of_steps(steps, pending, quantizer)
    scaled, added = scale_and_offset(ratio, offset, bits)
    moved = np.abs(offset - np.ldexp(added.astype(np.float64), -scaled.shift))
    exact = scaled.exact and not moved.any()
    if exact and (problems := _ties_to_odd(quantizer, rounding)):
        return problems
    way = Rounding.HALF_UP if rounding is Rounding.HALF_EVEN and not exact else rounding
    within = np.divide(range_ + np.abs(offset), ratio, out=np.zeros_like(ratio), where=ratio > 0)
    units = float((scaled.error * np.minimum(reached, within) + moved).max())
    spec = Requantize(multiplier=scaled.multiplier, shift=scaled.shift, offset=added, rounding=way)
    bias = np.zeros(len(ratio), dtype=np.int64)
    return Requantized(spec=spec, bias=bias, units=units, real=_real(pending, quantizer))


def _of_steps(steps: Steps, pending: Pending, quantizer: Quantizer) -> Requantized:
    """Take biases where they will do, and where the layer has some."""
    bias, offset = np.zeros(len(steps.offset), dtype=np.int64), None
    if pending.biased and steps.bias is not None and (np.abs(steps.bias) < LARGEST_BIAS).all():
        bias = steps.bias
    else:
        offset = steps.offset
    spec = Requantize(
        multiplier=steps.multiplier,
        shift=np.array([steps.shift]),
        offset=offset,
        rounding=steps.rounding,
    )
    return Requantized(spec=spec, bias=bias, units=0.0, real=_real(pending, quantizer))


def _real(pending: Pending, quantizer: Quantizer) -> Affine:
    """What the file rounds; as it is told, a bias near a whole number of steps is not one."""
    return Affine(
        scale=pending.scale / quantizer.scale,
        offset=pending.offset / quantizer.scale,
        error=pending.error / quantizer.scale,
    )


def _ties_to_odd(quantizer: Quantizer, rounding: Rounding) -> list[str]:
    """Why ties are not those of the contract, where there are any."""
    zero = quantizer.type.zero_point
    if rounding is not Rounding.HALF_EVEN or not quantizer.after_zero_point or zero % 2 == 0:
        return []
    return [
        (
            f"rounds ties to even after adding zero point {zero}, which is odd; an even one is "
            "supported, or ONNX's own quantizers"
        )
    ]


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
    quantizer: Quantizer, ratio: FloatArray, rounding: Rounding | None, bits: int
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


def _clamp(pending: Pending, quantizer: Quantizer, rounding: Rounding) -> tuple[int, int] | None:
    """Bounds of the result, where they are narrower than its type."""
    low, high = quantizer.low, quantizer.high
    if pending.low > -inf:
        low = max(low, int(quantizer.of(np.array(pending.low), rounding)))
    if pending.high < inf:
        high = min(high, int(quantizer.of(np.array(pending.high), rounding)))
    return None if (low, high) == (quantizer.type.low, quantizer.type.high) else (low, high)
