"""Bounds of what a layer may give where a file's executor computes it in float32."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import frexp

import numpy as np

from systolith.exchange.quantizer import FloatArray
from systolith.network import (
    Add,
    AvgPool2d,
    Conv2d,
    Flatten,
    IntArray,
    Layer,
    Linear,
    MaxPool2d,
    Requantize,
    Rounding,
    Tensor,
    accumulate,
    apply_layer,
    requantize,
)

__all__ = ["Bounds", "bounds_of"]

SIGNIFICAND = 24
"""Bits of float32: sums of fewer bits, in steps of a power of two, are exact."""
ULP = 2.0**-SIGNIFICAND
SINGLE_ROUNDINGS = 6
"""Of one result: scales of input and weights, bias, two of batch norm, the quantizer's division."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bounds:
    """What a layer gives, and the least and greatest integers it may be; arrays of one shape."""

    value: IntArray
    low: IntArray
    high: IntArray

    @classmethod
    def of(cls, value: IntArray) -> "Bounds":
        """Let it be nothing else."""
        return cls(value=value, low=value, high=value)

    @property
    def known(self) -> bool:
        """Whether they are the same."""
        return self.low is self.high or bool((self.low == self.high).all())


def bounds_of(
    layer: Layer,
    values: Sequence[Bounds],
    inputs: Sequence[Tensor],
    *,
    units: float,
    scales: Sequence[float | None],
) -> Bounds | None:
    """Compute a layer, and how far an executor's result may be from that.

    A value before rounding may be `units` away, and what float32 adds to that: a result may then
    be another integer only where the value lies that near to where rounding changes.

    Parameters
    ----------
    layer : Layer
    values : sequence of Bounds
        Of its inputs.
    inputs : sequence of Tensor
        Their shapes and types.
    units : float
        Of the layer.
    scales : sequence of float or None
        Of its output and its inputs, where they are known.

    Returns
    -------
    Bounds or None
        None if nothing can be said, as an input is not known.
    """
    match layer:
        case MaxPool2d() | Flatten():

            def kept(arrays: list[IntArray]) -> IntArray:
                return apply_layer(layer, arrays, inputs)

            value = kept([each.value for each in values])
            if all(each.known for each in values):
                return Bounds.of(value)
            low, high = kept([each.low for each in values]), kept([each.high for each in values])
            return Bounds(value=value, low=low, high=high)
        case Conv2d() | Linear() | Add() | AvgPool2d():
            if not all(each.known for each in values):
                return None
            acc = accumulate(layer, [each.value for each in values], inputs)
            away: float | FloatArray = units
            if not (units == 0 and _exact(layer.requantize, acc, scales)):
                away = units + _noise(layer, acc, [each.value for each in values], inputs)
            return _rounded(layer, acc, away)


def _exact(spec: Requantize, acc: IntArray, scales: Sequence[float | None]) -> bool:
    """Whether float32 has no errors here: all scales are powers of two, sums are short."""
    powers = all(scale is not None and frexp(scale)[0] == 0.5 for scale in scales)
    multipliers = spec.multiplier[spec.multiplier > 0]
    shifts = bool((multipliers & (multipliers - 1) == 0).all())
    plain = spec.offset is None or not spec.offset.any()
    return powers and shifts and plain and int(np.abs(acc).max(initial=0)) < 1 << SIGNIFICAND - 1


def _noise(
    layer: Conv2d | Linear | Add | AvgPool2d,
    acc: IntArray,
    values: Sequence[IntArray],
    inputs: Sequence[Tensor],
) -> FloatArray:
    """Bound for errors of float32, in units of the output, shape (1, channels, 1...)."""
    largest = max(
        int(np.abs(each - tensor.type.zero_point).max(initial=0))
        for each, tensor in zip(values, inputs, strict=True)
    )
    match layer:
        case Conv2d() | Linear():
            rows = np.abs(layer.weight.reshape(len(layer.weight), -1))
            reach, terms = rows.sum(axis=1) * largest + np.abs(layer.bias), rows.shape[1]
        case Add():
            reach, terms = np.array([sum(layer.multipliers) * largest]), 2
        case AvgPool2d():
            terms = int(np.prod(layer.window(inputs[0].shape)))
            reach = np.array([terms * largest])
    ratio = layer.requantize.multiplier / 2.0**layer.requantize.shift
    spread = SINGLE_ROUNDINGS + np.sqrt(terms)
    errors = np.broadcast_to(reach * ratio * ULP * spread, acc.shape[1])
    return np.asarray(errors.reshape(1, -1, *[1] * (acc.ndim - 2)))


def _rounded(
    layer: Conv2d | Linear | Add | AvgPool2d, acc: IntArray, away: float | FloatArray
) -> Bounds:
    spec, output = layer.requantize, layer.output
    value = requantize(acc, spec, output)
    if not np.any(away):
        return Bounds.of(value)
    channels = (1, -1, *[1] * (acc.ndim - 2))
    product = acc * spec.multiplier.reshape(channels)
    if spec.offset is not None:
        product = product + spec.offset.reshape(channels)
    real = product / 2.0 ** spec.shift.reshape(channels)
    if spec.rounding is Rounding.FLOOR:
        low, high = np.floor(real - away), np.floor(real + away)
    else:
        low, high = np.ceil(real - away - 0.5), np.floor(real + away + 0.5)
    least, most = spec.clamp or (output.low, output.high)
    least, most = max(least, output.low), min(most, output.high)

    def within(values: FloatArray) -> IntArray:
        return np.clip(values + output.zero_point, least, most).astype(np.int64)

    return Bounds(value=value, low=within(low), high=within(high))
