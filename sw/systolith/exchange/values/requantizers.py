"""Requantization of layers that gives the same integers as the quantizers of float graphs."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import inf, isclose

import numpy as np

from systolith.exchange.values.quantizer import (
    HALF_TO_PLUS_INFINITY,
    NONNEGATIVE_ROUNDINGS,
    FloatArray,
    Quantizer,
)
from systolith.exchange.values.scaling import (
    fit_scale,
    fit_scale_and_offset,
    is_exact_addition,
)
from systolith.exchange.values.slopes import fit_slopes, take_half
from systolith.exchange.values.thresholds import (
    ExactRequantizer,
    Staircase,
    compute_staircase,
    find_exact_requantizer,
)
from systolith.exchange.values.value import PendingLayer
from systolith.network import FITTED_MULTIPLIER_BITS, IntArray, Requantize, Rounding

__all__ = ["Affine", "FittedRequantizer", "fit_requantizer"]

LARGEST_BIAS = 1 << 39
LARGEST_OFFSET = 1 << 61
SCALE_TOLERANCE = 2.0**-20
"""Relative difference of equal scales, as they are stored in float32."""
BIAS_TOLERANCE = 2.0**-22
"""Relative difference below which float32 cannot tell a bias from a whole number of steps."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Affine:
    """The file's result before rounding: ``scale * acc + offset``, in units of the output.

    Attributes
    ----------
    scale, offset : array of float64, shape (channels,) or (1,)
        For accumulators without bias.
    error : float
        Greatest difference from the file's own value.
    slope : array of float64, shape (channels,) or (1,), or None
        Factor of results below 0.
    """

    scale: FloatArray
    offset: FloatArray
    error: float = 0.0
    slope: FloatArray | None = None

    @property
    def steepest(self) -> FloatArray:
        """Greatest factor of an error, shape (channels,) or (1,)."""
        return np.ones(1) if self.slope is None else np.maximum(np.abs(self.slope), 1.0)

    def of(self, sums: FloatArray | IntArray) -> FloatArray:
        """Compute results of sums without bias, shape (N, channels, ...)."""
        axes = (1, -1) + (1,) * (sums.ndim - 2)
        real = sums * self.scale.reshape(axes) + self.offset.reshape(axes)
        if self.slope is None:
            return np.asarray(real)
        return np.asarray(np.where(real < 0, real * self.slope.reshape(axes), real))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FittedRequantizer:
    """The requantization chosen for a pending layer.

    Attributes
    ----------
    spec : Requantize
    bias : array of int64, shape (channels,)
        In units of the accumulator.
    units : float
        Greatest difference from `real` before rounding, in units of the output; 0 if the two are
        equal.
    real : Affine
        The file's own arithmetic.
    """

    spec: Requantize
    bias: IntArray
    units: float
    real: Affine


def fit_requantizer(
    pending: PendingLayer, quantizer: Quantizer, bits: int = FITTED_MULTIPLIER_BITS
) -> FittedRequantizer | list[str]:
    """Choose the requantization of a layer for a quantizer, or list why there is none.

    Biases that are whole steps of the accumulator stay biases, with multipliers of full width.
    Other biases become offsets, with the narrowest multipliers that give the same result for every
    accumulator, or with multipliers of full width if there are none.
    """
    if pending.step is not None:
        if not isclose(pending.step, quantizer.scale, rel_tol=SCALE_TOLERANCE):
            return [
                f"quantizes in steps of {quantizer.scale:g} what Floor made of {pending.step:g}"
            ]
        return fit_requantizer(
            replace(pending, step=None), replace(quantizer, rounding="FLOOR"), bits
        )
    halved = take_half(pending, quantizer)
    if isinstance(halved, list):
        return halved
    pending, quantizer = halved
    if (
        pending.slope is None
        and quantizer.rounding == "FLOOR"
        and _adds_half(pending, quantizer.scale)
    ):
        left = pending.offset - quantizer.scale / 2 if pending.biased else np.zeros(1)
        half = replace(pending, offset=left)
        return fit_requantizer(half, replace(quantizer, rounding=HALF_TO_PLUS_INFINITY), bits)
    pending = _expand_channels(pending)
    ratio = pending.scale / quantizer.scale
    rounding = quantizer.contract_rounding(
        positive=pending.low >= 0 and quantizer.type.zero_point == 0
    )
    problems = list(_problems(quantizer, ratio, rounding, bits))
    if problems or rounding is None:
        return problems
    clamp = _clamp(pending, quantizer, rounding)
    if pending.slope is not None:
        return _fit_slopes(pending, quantizer, rounding, bits, clamp)
    stairs = _staircase(pending, quantizer, rounding, clamp)
    bias = _bias(pending, quantizer)
    if bias is None:
        fitted = _fit_offsets(pending, quantizer, rounding, bits, stairs)
    else:
        fitted = _fit_biases(pending, quantizer, rounding, bits, stairs, bias)
    if isinstance(fitted, list):
        return fitted
    spec = replace(fitted.spec, clamp=clamp)
    units = fitted.units + fitted.real.error
    if pending.terms and is_exact_addition(pending.terms, pending.offset, spec, quantizer):
        units = 0.0
    return replace(fitted, spec=spec, units=units)


def _expand_channels(pending: PendingLayer) -> PendingLayer:
    """Give each channel its own scale and offset."""
    slopes = () if pending.slope is None else pending.slope.shape
    shape = (
        (pending.shape[0],)
        if pending.biased
        else np.broadcast_shapes(pending.scale.shape, pending.offset.shape, slopes)
    )
    return replace(
        pending,
        scale=np.broadcast_to(pending.scale, shape),
        offset=np.broadcast_to(pending.offset, shape),
    )


def _bias(pending: PendingLayer, quantizer: Quantizer) -> IntArray | None:
    """Write offsets as whole steps of the accumulator; None if one of them is not whole.

    Files store float32: an offset closer to a whole number than float32 resolves counts as whole.
    Layers without weights can only have the bias 0.
    """
    silent = pending.scale == 0
    wanted = pending.offset / np.where(silent, 1.0, pending.scale)
    if (np.abs(wanted) >= LARGEST_BIAS).any():
        return None
    bias = np.rint(wanted).astype(np.int64)
    close = np.abs(wanted - bias) <= np.maximum(np.abs(bias), 1) * BIAS_TOLERANCE
    # A silent channel has no steps: its offset must quantize as 0 does.
    rounding = quantizer.contract_rounding(positive=pending.low >= 0) or Rounding.HALF_EVEN
    same = quantizer.quantize(pending.offset, rounding) == quantizer.quantize(np.zeros(1), rounding)
    if quantizer.after_zero_point:  # ties then depend on the zero point
        same &= np.mod(pending.offset / quantizer.scale, 1) != 0.5
    bias = np.where(silent, 0, bias)
    if not np.where(silent, same, close).all() or (bias.any() and not pending.biased):
        return None
    return bias


def _staircase(
    pending: PendingLayer,
    quantizer: Quantizer,
    rounding: Rounding,
    clamp: tuple[int, int] | None,
) -> Staircase | None:
    """Compute the file's staircase; None if it cannot be decided."""
    if pending.error:
        return None
    act = quantizer.type
    least, most = clamp or (act.low, act.high)
    bias, offset = _bias(pending, quantizer), pending.offset
    if bias is not None:
        offset = np.where(pending.scale == 0, offset, bias * pending.scale)
    return compute_staircase(
        pending.scale,
        offset,
        quantizer.scale,
        rounding=rounding,
        levels=(least - act.zero_point, most - act.zero_point),
        sums=pending.sum_range(np.zeros(len(pending.scale), dtype=np.int64)),
        odd=quantizer.after_zero_point and act.zero_point % 2 == 1,
    )


def _fit_biases(
    pending: PendingLayer,
    quantizer: Quantizer,
    rounding: Rounding,
    bits: int,
    stairs: Staircase | None,
    bias: IntArray,
) -> FittedRequantizer | list[str]:
    """Choose multipliers of full width, after whole biases."""
    ratio = pending.scale / quantizer.scale
    scaled = fit_scale(ratio, bits)
    if scaled.exact and (problems := _ties_to_odd(quantizer, rounding)):
        return problems
    # Only exact scales have ties.
    way = Rounding.HALF_UP if rounding is Rounding.HALF_EVEN and not scaled.exact else rounding
    added = bias * scaled.multiplier.astype(object)
    exact = scaled.exact or (
        stairs is not None
        and max(map(abs, added.tolist())) < LARGEST_OFFSET
        and stairs.contains(scaled.multiplier, scaled.shift, added.astype(np.int64), way)
    )
    reached = max(abs(bound) for bound in pending.sum_range(bias))
    span = quantizer.high - quantizer.low + 1
    # A result outside the type's range may have a greater error: it is clipped.
    within = np.divide(span, ratio, out=np.zeros_like(ratio), where=ratio > 0)
    units = 0.0 if exact else float((scaled.error * np.minimum(reached, within)).max())
    spec = Requantize(multiplier=scaled.multiplier, shift=scaled.shift, rounding=way)
    return FittedRequantizer(spec=spec, bias=bias, units=units, real=_real(pending, quantizer))


def _fit_offsets(
    pending: PendingLayer,
    quantizer: Quantizer,
    rounding: Rounding,
    bits: int,
    stairs: Staircase | None,
) -> FittedRequantizer | list[str]:
    """Choose the narrowest exact multipliers, or those of full width."""
    ratio, offset = pending.scale / quantizer.scale, pending.offset / quantizer.scale
    least, most = pending.sum_range(np.zeros(len(ratio), dtype=np.int64))
    reached = max(abs(least), abs(most))
    # With a greater offset, no accumulator gives a result inside the type's range.
    range_ = max(abs(quantizer.type.low), abs(quantizer.type.high)) * 2 + 1
    offset = offset.clip(-range_ - ratio * reached, range_ + ratio * reached)
    if stairs and (steps := find_exact_requantizer(stairs, ratio, offset, bits, rounding)):
        return _use_exact(steps, pending, quantizer)
    scaled, added = fit_scale_and_offset(ratio, offset, bits)
    moved = np.abs(offset - np.ldexp(added.astype(np.float64), -scaled.shift))
    exact = scaled.exact and not moved.any()
    if exact and (problems := _ties_to_odd(quantizer, rounding)):
        return problems
    way = Rounding.HALF_UP if rounding is Rounding.HALF_EVEN and not exact else rounding
    within = np.divide(range_ + np.abs(offset), ratio, out=np.zeros_like(ratio), where=ratio > 0)
    units = float((scaled.error * np.minimum(reached, within) + moved).max())
    spec = Requantize(multiplier=scaled.multiplier, shift=scaled.shift, offset=added, rounding=way)
    bias = np.zeros(len(ratio), dtype=np.int64)
    return FittedRequantizer(spec=spec, bias=bias, units=units, real=_real(pending, quantizer))


def _fit_slopes(
    pending: PendingLayer,
    quantizer: Quantizer,
    rounding: Rounding,
    bits: int,
    clamp: tuple[int, int] | None,
) -> FittedRequantizer | list[str]:
    """Choose multipliers of sums of either sign."""
    fitted = fit_slopes(pending, quantizer, rounding, bits)
    if isinstance(fitted, list):
        return fitted
    spec, bias, units = fitted
    if not units and (problems := _ties_to_odd(quantizer, rounding)):
        return problems
    real = _real(pending, quantizer)
    units += real.error * float(real.steepest.max())
    return FittedRequantizer(spec=replace(spec, clamp=clamp), bias=bias, units=units, real=real)


def _use_exact(
    steps: ExactRequantizer, pending: PendingLayer, quantizer: Quantizer
) -> FittedRequantizer:
    """Use biases instead of offsets if the layer has them and they are exact."""
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
    return FittedRequantizer(spec=spec, bias=bias, units=0.0, real=_real(pending, quantizer))


def _real(pending: PendingLayer, quantizer: Quantizer) -> Affine:
    """Give the file's arithmetic before rounding, with its offsets as they are stored."""
    return Affine(
        scale=pending.scale / quantizer.scale,
        offset=pending.offset / quantizer.scale,
        error=pending.error / quantizer.scale,
        slope=pending.slope,
    )


def _ties_to_odd(quantizer: Quantizer, rounding: Rounding) -> list[str]:
    """List why ties differ from the contract's, if there can be ties."""
    zero = quantizer.type.zero_point
    if rounding is not Rounding.HALF_EVEN or not quantizer.after_zero_point or zero % 2 == 0:
        return []
    return [
        (
            f"rounds ties to even after adding zero point {zero}, which is odd; an even one is "
            "supported, or ONNX's own quantizers"
        )
    ]


def _adds_half(pending: PendingLayer, scale: float) -> bool:
    """Whether an offset is half a unit of the output plus a bias, and not a bias alone."""
    unit = np.where(pending.scale == 0, 1.0, pending.scale)

    def is_bias(offset: FloatArray) -> bool:
        steps = offset / unit if pending.biased else np.abs(offset) / scale
        whole = np.rint(steps) if pending.biased else np.zeros_like(steps)
        fits = np.abs(steps) < LARGEST_BIAS
        return bool(
            (fits & (np.abs(steps - whole) <= SCALE_TOLERANCE * np.maximum(np.abs(steps), 1))).all()
        )

    return not is_bias(pending.offset) and is_bias(pending.offset - scale / 2)


def _problems(
    quantizer: Quantizer, ratio: FloatArray, rounding: Rounding | None, bits: int
) -> Iterator[str]:
    if rounding is None:
        yield (
            f"rounds by '{quantizer.rounding}', which is supported for results that are never "
            "negative only"
            if quantizer.rounding in NONNEGATIVE_ROUNDINGS
            else f"rounds by '{quantizer.rounding}'; ROUND (ties to even) and FLOOR are supported"
        )
    if (ratio > (1 << bits) - 1).any():
        yield (
            f"has a scale, {quantizer.scale:g}, so small beside the accumulator's that the ratio "
            f"does not fit {bits}-bit multipliers"
        )


def _clamp(
    pending: PendingLayer, quantizer: Quantizer, rounding: Rounding
) -> tuple[int, int] | None:
    """Compute bounds of the result; None if its type has the same."""
    low, high = quantizer.low, quantizer.high
    if pending.low > -inf:
        low = max(low, int(quantizer.quantize(np.array(pending.low), rounding)))
    if pending.high < inf:
        high = min(high, int(quantizer.quantize(np.array(pending.high), rounding)))
    return None if (low, high) == (quantizer.type.low, quantizer.type.high) else (low, high)
