"""Bounds of a layer's result when a file's executor computes it in float32."""

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
    ArgMax,
    AvgPool2d,
    BoolArray,
    Concat,
    Conv2d,
    DepthToSpace,
    Flatten,
    IntArray,
    Layer,
    Linear,
    MaxPool2d,
    Multiply,
    Pad2d,
    Requantized,
    Rounding,
    SelectChannels,
    SpaceToDepth,
    Table,
    Tensor,
    Upsample,
    apply_layer,
    requantize,
)

__all__ = ["Bounds", "bound_results"]

SIGNIFICAND = 24
"""Bits of float32; sums of fewer bits, in steps of a power of two, are exact."""
ULP = 2.0**-SIGNIFICAND
SINGLE_ROUNDINGS = 6
"""Roundings of a result: scales of input and weights, bias, two of batch norm, the quantizer."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bounds:
    """A layer's result, and the least and greatest integers that the executor may give."""

    value: IntArray
    low: IntArray
    high: IntArray

    @classmethod
    def of(cls, value: IntArray) -> "Bounds":
        """Make bounds of a result that is known exactly."""
        return cls(value=value, low=value, high=value)

    @property
    def known(self) -> bool:
        """Whether the result is known exactly."""
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
    """Compute a layer, and bounds of an executor's result.

    The executor may give another integer only if the file's own value before rounding is closer to
    a rounding threshold than `units` plus the errors of float32.

    Parameters
    ----------
    layer : Layer
    values : sequence of Bounds
        Inputs of the layer.
    inputs : sequence of Tensor
        Shapes and types of the inputs.
    real : Affine or None
        The file's result before rounding; None for the layer's own.
    units : float
        Greatest difference of the layer from the file before rounding.
    scales : sequence of float or None
        Scales of the output and the inputs; None for unknown ones.

    Returns
    -------
    Bounds or None
        None if the layer has arithmetic and an input is not known exactly.
    """
    match layer:
        case (
            MaxPool2d()
            | Pad2d()
            | Upsample()
            | Flatten()
            | Concat()
            | SelectChannels()
            | DepthToSpace()
            | SpaceToDepth()
        ):

            def apply(arrays: list[IntArray]) -> IntArray:
                return apply_layer(layer, arrays, inputs)

            value = apply([bounds.value for bounds in values])
            if all(bounds.known for bounds in values):
                return Bounds.of(value)
            low = apply([bounds.low for bounds in values])
            high = apply([bounds.high for bounds in values])
            return Bounds(value=value, low=low, high=high)
        case ArgMax():
            # Another class may be the greatest wherever an input may differ.
            (source,) = values
            return Bounds.of(apply_layer(layer, [source.value], inputs)) if source.known else None
        case Table():
            (source,) = values
            value = apply_layer(layer, [source.value], inputs)
            if source.known:
                return Bounds.of(value)
            widest = int((source.high - source.low).max())
            results = [
                apply_layer(layer, [np.minimum(source.low + step, source.high)], inputs)
                for step in range(widest + 1)
            ]
            return Bounds(value=value, low=np.min(results, 0), high=np.max(results, 0))
        case Conv2d() | Linear() | Add() | Multiply() | AvgPool2d():
            if not all(bounds.known for bounds in values):
                return None
            arrays = [bounds.value for bounds in values]
            acc = layer.accumulate(arrays, inputs)
            known = real or _real(layer)
            noise = _noise(layer, known, arrays, inputs)
            error = max(units, known.error) + noise
            if units == 0 and known.error == 0:
                error = np.where(_exact(layer, known, acc, scales), 0.0, error)
            return _round(layer, known, acc, error)


def _bias(layer: Requantized) -> IntArray:
    return layer.bias if isinstance(layer, Conv2d | Linear) else np.zeros(1, dtype=np.int64)


def _real(layer: Requantized) -> Affine:
    """Give the layer's own result before rounding."""
    spec = layer.requantize
    added = _bias(layer) * spec.multiplier + (0 if spec.offset is None else spec.offset)
    unit = 2.0**-spec.shift
    slope = None
    if spec.negative is not None:
        slope = spec.negative / np.maximum(spec.multiplier, 1)
    return Affine(scale=spec.multiplier * unit, offset=added * unit, slope=slope)


def _exact(
    layer: Requantized,
    real: Affine,
    acc: IntArray,
    scales: Sequence[float | None],
) -> BoolArray:
    """Find the channels that float32 computes exactly.

    Their scales are powers of two, their sums are short, and the file's offset is the bias: an
    offset between two steps of the sum has more bits.
    """
    powers = all(scale is not None and frexp(scale)[0] == 0.5 for scale in scales)
    short = int(np.abs(acc).max(initial=0)) < 1 << SIGNIFICAND - 1
    if not (powers and short):
        return np.zeros(1, dtype=np.bool_)
    bias = _bias(layer)
    power = (np.frexp(real.scale)[0] == 0.5) | (real.scale == 0)
    whole = (real.offset == bias * real.scale) & (np.abs(bias) < 1 << SIGNIFICAND - 1)
    if real.slope is not None:
        whole = whole & ((np.abs(np.frexp(real.slope)[0]) == 0.5) | (real.slope == 0))
    return np.asarray(power & whole)


def _noise(
    layer: Requantized,
    real: Affine,
    values: Sequence[IntArray],
    inputs: Sequence[Tensor],
) -> FloatArray:
    """Bound the errors of float32, in units of the output, shape (channels,) or (1,)."""
    largest = max(
        int(np.abs(array - tensor.type.zero_point).max(initial=0))
        for array, tensor in zip(values, inputs, strict=True)
    )
    match layer:
        case Conv2d() | Linear():
            rows = np.abs(layer.weight.reshape(len(layer.weight), -1))
            reach, terms = rows.sum(axis=1) * largest, rows.shape[1]
        case Add():
            reach, terms = np.array([sum(layer.multipliers) * largest]), 2
        case Multiply():
            reach, terms = np.array([largest * largest]), 1
        case AvgPool2d():
            terms = layer.divisor(inputs[0].shape)
            reach = np.array([terms * largest])
    spread = SINGLE_ROUNDINGS + np.sqrt(terms)
    return np.asarray((reach * real.scale + np.abs(real.offset)) * real.steepest * ULP * spread)


def _round(layer: Requantized, known: Affine, acc: IntArray, error: FloatArray) -> Bounds:
    spec, output = layer.requantize, layer.output
    value = requantize(acc, spec, output)
    if not np.any(error):
        return Bounds.of(value)

    def by_channel(numbers: NDArray[Any]) -> NDArray[Any]:
        return numbers.reshape(1, -1, *[1] * (acc.ndim - 2))

    if spec.levels:
        apart = np.ceil(by_channel(error)).astype(np.int64)
        nearby = [requantize(acc + by, spec, output) for by in (-apart, apart)]
        return Bounds(value=value, low=nearby[0], high=nearby[1])
    sums = acc - by_channel(_bias(layer))
    real = known.of(sums)
    error = by_channel(error)
    if spec.rounding is Rounding.FLOOR:
        low, high = np.floor(real - error), np.floor(real + error)
    else:
        low, high = np.ceil(real - error - 0.5), np.floor(real + error + 0.5)
    least, most = spec.clamp or (output.low, output.high)
    least, most = max(least, output.low), min(most, output.high)

    def within(values: FloatArray) -> IntArray:
        return np.clip(values + output.zero_point, least, most).astype(np.int64)

    lowest, highest = within(low), within(high)
    # If the file's value does not explain the result, the executor must give the same result.
    explained = (error > 0) & (lowest <= value) & (value <= highest)
    return Bounds(
        value=value,
        low=np.where(explained, lowest, value),
        high=np.where(explained, highest, value),
    )
