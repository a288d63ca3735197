"""Bounds of what a layer may give where a file's executor computes it in float32."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import frexp
from typing import Any

import numpy as np
from numpy.typing import NDArray

from systolith.exchange.values.quantizer import FloatArray
from systolith.exchange.values.requantizers import Affine
from systolith.network import (
    Add,
    AvgPool2d,
    BoolArray,
    Conv2d,
    Flatten,
    IntArray,
    Layer,
    Linear,
    MaxPool2d,
    Rounding,
    Tensor,
    accumulate,
    apply_layer,
    requantize,
)

__all__ = ["Bounds", "bound_results"]

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


def bound_results(
    layer: Layer,
    values: Sequence[Bounds],
    inputs: Sequence[Tensor],
    *,
    real: Affine | None,
    units: float,
    scales: Sequence[float | None],
) -> Bounds | None:
    """Compute a layer, and how far an executor's result may be from that.

    The file's own value before rounding tells: a result may be another integer only where that
    lies so near to where rounding changes as `units` and the errors of float32 reach.

    Parameters
    ----------
    layer : Layer
    values : sequence of Bounds
        Of its inputs.
    inputs : sequence of Tensor
        Their shapes and types.
    real : Affine or None
        What the file computes; None: what the layer does.
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
            known = real or _real(layer)
            noise = _noise(layer, known, [each.value for each in values], inputs)
            away = max(units, known.error) + noise
            if units == 0 and known.error == 0:
                away = np.where(_exact(layer, known, acc, scales), 0.0, away)
            return _rounded(layer, known, acc, away)


def _bias(layer: Conv2d | Linear | Add | AvgPool2d) -> IntArray:
    return layer.bias if isinstance(layer, Conv2d | Linear) else np.zeros(1, dtype=np.int64)


def _real(layer: Conv2d | Linear | Add | AvgPool2d) -> Affine:
    """What the layer itself rounds."""
    spec = layer.requantize
    added = _bias(layer) * spec.multiplier + (0 if spec.offset is None else spec.offset)
    unit = 2.0**-spec.shift
    return Affine(scale=spec.multiplier * unit, offset=added * unit)


def _exact(
    layer: Conv2d | Linear | Add | AvgPool2d,
    real: Affine,
    acc: IntArray,
    scales: Sequence[float | None],
) -> BoolArray:
    """In which channels float32 has no errors.

    All scales are powers of two there, sums are short, and the file's own offset is the bias: one
    between two steps of the sum has more bits.
    """
    powers = all(scale is not None and frexp(scale)[0] == 0.5 for scale in scales)
    short = int(np.abs(acc).max(initial=0)) < 1 << SIGNIFICAND - 1
    if not (powers and short):
        return np.zeros(1, dtype=np.bool_)
    bias = _bias(layer)
    power = (np.frexp(real.scale)[0] == 0.5) | (real.scale == 0)
    whole = (real.offset == bias * real.scale) & (np.abs(bias) < 1 << SIGNIFICAND - 1)
    return np.asarray(power & whole)


def _noise(
    layer: Conv2d | Linear | Add | AvgPool2d,
    real: Affine,
    values: Sequence[IntArray],
    inputs: Sequence[Tensor],
) -> FloatArray:
    """Bound for errors of float32, in units of the output, shape (channels,) or (1,)."""
    largest = max(
        int(np.abs(each - tensor.type.zero_point).max(initial=0))
        for each, tensor in zip(values, inputs, strict=True)
    )
    match layer:
        case Conv2d() | Linear():
            rows = np.abs(layer.weight.reshape(len(layer.weight), -1))
            reach, terms = rows.sum(axis=1) * largest, rows.shape[1]
        case Add():
            reach, terms = np.array([sum(layer.multipliers) * largest]), 2
        case AvgPool2d():
            terms = int(np.prod(layer.window(inputs[0].shape)))
            reach = np.array([terms * largest])
    spread = SINGLE_ROUNDINGS + np.sqrt(terms)
    return np.asarray((reach * real.scale + np.abs(real.offset)) * ULP * spread)


def _rounded(
    layer: Conv2d | Linear | Add | AvgPool2d, known: Affine, acc: IntArray, away: FloatArray
) -> Bounds:
    spec, output = layer.requantize, layer.output
    value = requantize(acc, spec, output)
    if not np.any(away):
        return Bounds.of(value)

    def by_channel(each: NDArray[Any]) -> NDArray[Any]:
        return each.reshape(1, -1, *[1] * (acc.ndim - 2))

    sums = acc - by_channel(_bias(layer))
    real = sums * by_channel(known.scale) + by_channel(known.offset)
    away = by_channel(away)
    if spec.rounding is Rounding.FLOOR:
        low, high = np.floor(real - away), np.floor(real + away)
    else:
        low, high = np.ceil(real - away - 0.5), np.floor(real + away + 0.5)
    least, most = spec.clamp or (output.low, output.high)
    least, most = max(least, output.low), min(most, output.high)

    def within(values: FloatArray) -> IntArray:
        return np.clip(values + output.zero_point, least, most).astype(np.int64)

    lowest, highest = within(low), within(high)
    # A result that the file's value does not explain is right only if the executor's is the same.
    explained = (away > 0) & (lowest <= value) & (value <= highest)
    return Bounds(
        value=value,
        low=np.where(explained, lowest, value),
        high=np.where(explained, highest, value),
    )
