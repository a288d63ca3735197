"""Nodes that quantize: QONNX's Quant, ONNX's QuantizeLinear."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from systolith.exchange.building import Building
from systolith.exchange.errors import ExchangeError
from systolith.exchange.model_file import Node, integer_type
from systolith.exchange.plain_layers import pending_of
from systolith.exchange.quantizing import Quantizer
from systolith.exchange.values import (
    Activation,
    Constant,
    FloatArray,
    Images,
    QuantizedConstant,
    Value,
)
from systolith.network import ActType, IntArray, signed_bits

__all__ = [
    "bipolar_quant",
    "dequantize_linear",
    "quant",
    "quantize_linear",
]

WEIGHT_ROUNDINGS = {"ROUND": np.rint, "HALF_EVEN": np.rint, "FLOOR": np.floor, "CEIL": np.ceil}
"""As QONNX calls them; weights are rounded once, so all that NumPy has will do."""


def quant(node: Node, values: Sequence[Value], made: Building) -> Value:
    """Quant of QONNX: of weights, of activations, of the model's input."""
    scale, zero, bits = (_numbers(value) for value in values[1:4])
    signed, narrow = bool(node.get("signed", 1)), bool(node.get("narrow", 0))
    rounding = str(node.get("rounding_mode", "ROUND")).upper()
    if bits.size != 1 or bits.flat[0] != round(bits.flat[0]):
        raise ExchangeError(
            [f"has {bits.reshape(-1).tolist()} bits; one whole number is supported"]
        )
    if (scale <= 0).any():
        raise ExchangeError(["has a scale that is not positive"])
    width = int(bits.flat[0])
    if isinstance(values[0], Constant):
        return _quantized_weights(
            values[0].values.astype(np.float64), scale, zero, width, signed, narrow, rounding
        )
    if isinstance(values[0], QuantizedConstant):
        raise ExchangeError(["quantizes weights a second time"])
    if width == 1 and signed:
        raise ExchangeError(
            ["makes activations of one bit, -1 or +1; at least 2 signed bits are supported"]
        )
    act = _act_type(width, signed, zero)
    quantizer = Quantizer(
        scale=_single(scale), type=act, rounding=rounding, narrow=narrow, after_zero_point=True
    )
    return _quantized(node, values[0], quantizer, made)


def bipolar_quant(node: Node, values: Sequence[Value], made: Building) -> Value:
    """BipolarQuant of QONNX: of weights, which become -1 or +1."""
    if not isinstance(values[0], Constant):
        raise ExchangeError(
            ["makes activations of one bit, -1 or +1; at least 2 signed bits are supported"]
        )
    weights = values[0].values
    integers = np.where(weights >= 0, 1, -1).astype(np.int64)
    return QuantizedConstant(
        integers=integers, scale=_aligned(_numbers(values[1]), weights.ndim), bits=1
    )


def _quantized_weights(
    real: FloatArray,
    scale: FloatArray,
    zero: FloatArray,
    bits: int,
    signed: bool,
    narrow: bool,
    rounding: str,
) -> QuantizedConstant:
    if rounding not in WEIGHT_ROUNDINGS:
        known = ", ".join(WEIGHT_ROUNDINGS)
        raise ExchangeError([f"rounds weights by '{rounding}'; {known} are supported"])
    scale, zero = _aligned(scale, real.ndim), _aligned(zero, real.ndim)
    # As QONNX does it: in float32, and clipped first.
    ratio = real.astype(np.float32) / scale.astype(np.float32) + zero.astype(np.float32)
    if bits == 1 and signed:
        integers = np.where(ratio >= 0, 1, -1).astype(np.int64)
    else:
        low, high = (
            (-(1 << (bits - 1)) + narrow, (1 << (bits - 1)) - 1)
            if signed
            else (0, (1 << bits) - 1 - narrow)
        )
        rounded = WEIGHT_ROUNDINGS[rounding](np.clip(ratio, low, high))
        integers = np.asarray(rounded).astype(np.int64)
    return _weights(integers - np.rint(zero).astype(np.int64), scale, bits if signed else 0)


def _weights(integers: IntArray, scale: FloatArray, bits: int) -> QuantizedConstant:
    """As many bits as were said, or as a zero point makes necessary."""
    least = signed_bits(int(integers.min(initial=0)), int(integers.max(initial=0)))
    if bits == 1 and not (np.abs(integers) == 1).all():
        bits = 2
    return QuantizedConstant(
        integers=integers, scale=scale, bits=bits if bits == 1 else max(bits, least, 2)
    )


def quantize_linear(node: Node, values: Sequence[Value], made: Building) -> Value:
    """QuantizeLinear: of activations or the model's input; of weights, too."""
    scale, act = _linear_type(node, values)
    if isinstance(values[0], Constant):
        real = values[0].values.astype(np.float32)
        scale = _aligned(scale, real.ndim, int(node.get("axis", 1)))
        zero = _aligned(_zero_points(values), real.ndim, int(node.get("axis", 1)))
        integers = np.clip(np.rint(real / scale.astype(np.float32)) + zero, act.low, act.high)
        return Constant(values=integers.astype(np.int64))
    return _quantized(node, values[0], Quantizer(scale=_single(scale), type=act), made)


def _linear_type(node: Node, values: Sequence[Value]) -> tuple[FloatArray, ActType]:
    """Scale and type, of an activation where they are for one."""
    scale = _numbers(values[1])
    if len(values) < 3 or not isinstance(values[2], Constant):
        return scale, ActType(bits=8, signed=False)
    found = integer_type(values[2].values.dtype)
    if found is None:
        raise ExchangeError(
            [f"makes {values[2].values.dtype}; integers of up to 16 bits are supported"]
        )
    zero = _zero_points(values)
    if isinstance(values[0], Constant):
        return scale, found
    return scale, replace(found, zero_point=int(_single(zero)))


def dequantize_linear(node: Node, values: Sequence[Value], made: Building) -> Value:
    """DequantizeLinear: of constants, of quantized activations, of integer images."""
    x, scale = values[0], _numbers(values[1])
    zero = _zero_points(values)
    match x:
        case Constant():
            axis = int(node.get("axis", 1))
            if x.values.dtype.kind not in "iu" and integer_type(x.values.dtype) is None:
                raise ExchangeError(["reads constants that are no integers"])
            integers = x.values.astype(np.int64)
            aligned = _aligned(zero, integers.ndim, axis).astype(np.int64)
            stored = integer_type(x.values.dtype)
            bits = stored.bits if stored and stored.signed and not zero.any() else 0
            return _weights(integers - aligned, _aligned(scale, integers.ndim, axis), bits)
        case Images() if x.integer is not None:
            act = replace(x.integer, zero_point=int(_single(zero)))
            return made.take(x, Quantizer(scale=_single(scale), type=act))
        case Activation():
            if x.tensor.type.zero_point != int(_single(zero)):
                raise ExchangeError(
                    [
                        (
                            f"reads with zero point {int(_single(zero))} what was quantized with "
                            f"{x.tensor.type.zero_point}"
                        )
                    ]
                )
            return replace(x, scale=_single(scale))
        case _:
            raise ExchangeError(["reads what is not quantized"])


def _quantized(node: Node, x: Value, quantizer: Quantizer, made: Building) -> Value:
    match x:
        case Images():
            return made.take(x, quantizer)
        case Activation() if _changes_nothing(x, quantizer):
            return x
        case _:
            return made.quantize(pending_of(node, x), quantizer)


def _changes_nothing(x: Activation, quantizer: Quantizer) -> bool:
    """Whether all of an activation's values stay as they are."""
    act = x.tensor.type
    return (
        x.scale == quantizer.scale
        and act.zero_point == quantizer.type.zero_point
        and quantizer.low <= act.low
        and act.high <= quantizer.high
        and not any(x.padding)
    )


def _act_type(bits: int, signed: bool, zero: FloatArray) -> ActType:
    point = _single(zero)
    if point != round(point):
        raise ExchangeError([f"has zero point {point}; whole numbers are supported"])
    if not 1 + signed <= bits <= 16:
        raise ExchangeError([f"makes activations of {bits} bits; {1 + signed} to 16 are supported"])
    return ActType(bits=bits, signed=signed, zero_point=int(point))


def _zero_points(values: Sequence[Value]) -> FloatArray:
    given = values[2] if len(values) > 2 else None
    if isinstance(given, Constant) and given.values.size:
        return given.values.astype(np.float64)
    return np.zeros(1)


def _numbers(value: Value) -> FloatArray:
    """Scales, zero points or bits, which must be constants."""
    match value:
        case Constant():
            return np.atleast_1d(value.values.astype(np.float64))
        case _:
            raise ExchangeError(["has scales that are computed; constant ones are supported"])


def _single(values: FloatArray) -> float:
    """One number for a whole activation."""
    if values.size != 1 and (values != values.flat[0]).any():
        raise ExchangeError(
            [f"has scales of shape {values.shape} for an activation; one for all is supported"]
        )
    return float(values.flat[0])


def _aligned(values: FloatArray, axes: int, axis: int = 0) -> FloatArray:
    """Parameters as an array of as many axes as what they are for."""
    if values.size == 1:
        return values.reshape((1,) * axes)
    if values.ndim == axes:
        return values
    if values.ndim != 1:
        raise ExchangeError([f"has scales of shape {values.shape} for {axes} axes"])
    return values.reshape([-1 if place == axis % axes else 1 for place in range(axes)])
