"""Nodes that quantize: Quant, QuantizeLinear, DequantizeLinear and MultiThreshold."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper

from systolith.exchange.errors import ExchangeError
from systolith.exchange.file.model_file import Node, integer_type
from systolith.exchange.layers.counting import make_counting
from systolith.exchange.layers.draft import Draft
from systolith.exchange.layers.functions import quantize_function
from systolith.exchange.layers.operands import constant_of, is_constant
from systolith.exchange.layers.plain import pending_of, quantize_signs
from systolith.exchange.nodes.arithmetic import read_subtract
from systolith.exchange.nodes.integers import quantize_integers, quantize_value
from systolith.exchange.values.layouts import channel_constants, shape_of
from systolith.exchange.values.quantizer import FloatArray, Quantizer, whole_ratio
from systolith.exchange.values.value import (
    Absent,
    Constant,
    Integers,
    ModelInput,
    PendingFunction,
    PendingLayer,
    PendingTable,
    QuantizedActivation,
    QuantizedConstant,
    Value,
)
from systolith.network import ActType, IntArray, signed_bits

__all__ = [
    "read_bipolar_quant",
    "read_dequantize_linear",
    "read_multi_threshold",
    "read_quant",
    "read_quantize_linear",
    "read_whole_weights",
]

QUANTIZABLE = ModelInput | QuantizedActivation | PendingLayer | PendingTable | PendingFunction
"""What a quantizer of activations reads."""
WEIGHT_ROUNDINGS = {"ROUND": np.rint, "HALF_EVEN": np.rint, "FLOOR": np.floor, "CEIL": np.ceil}
"""QONNX's names of roundings of weights, which are rounded once, when the file is read."""


def read_quant(node: Node, values: Sequence[Value], draft: Draft) -> Value:
    """Read QONNX's Quant of weights, of activations or of the model's input."""
    scale, bits = _scales(values[1]), constant_of(values[3], "a number of bits")
    zero = constant_of(values[2], "a zero point")
    signed, narrow = bool(node.attributes["signed"]), bool(node.attributes["narrow"])
    rounding = str(node.attributes["rounding_mode"]).upper()
    if bits.size != 1 or bits.flat[0] != np.rint(bits.flat[0]):
        raise ExchangeError.of(
            f"has {bits.reshape(-1).tolist()} bits; one whole number is supported"
        )
    width, x = int(bits.flat[0]), values[0]
    if isinstance(x, Constant):
        real = x.values.astype(np.float64)
        return _quantized_weights(real, scale, zero, width, signed, narrow, rounding)
    if isinstance(x, QuantizedConstant):
        raise ExchangeError.of("quantizes weights a second time; leave one quantizer out")
    if width == 1 and signed and not zero.any():
        return quantize_signs(node, x, _single(scale, "scales"), draft)
    act = _act_type(width, signed, zero)
    quantizer = Quantizer(
        scale=_single(scale, "scales"),
        type=act,
        rounding=rounding,
        narrow=narrow,
        after_zero_point=True,
    )
    assert isinstance(x, QUANTIZABLE)
    return quantize_value(node, x, quantizer, draft)


def read_bipolar_quant(node: Node, values: Sequence[Value], draft: Draft) -> Value:
    """Read QONNX's BipolarQuant, which makes weights or activations -1 or +1."""
    if isinstance(values[0], QuantizedConstant):
        raise ExchangeError.of("quantizes weights a second time; leave one quantizer out")
    if not isinstance(values[0], Constant):
        return quantize_signs(node, values[0], _single(_scales(values[1]), "scales"), draft)
    weights = values[0].values
    integers = np.where(weights >= 0, 1, -1).astype(np.int64)
    scale = _broadcast(_scales(values[1]), weights.shape)
    return QuantizedConstant(integers=integers, scale=scale, bits=1)


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
        raise ExchangeError.of(f"rounds weights by '{rounding}'; {known} are supported")
    if bits < 1:
        raise ExchangeError.of(f"makes weights of {bits} bits; 1 or more are supported")
    scale, zero = _broadcast(scale, real.shape), _broadcast(zero, real.shape)
    # QONNX computes in float32 and clips before rounding.
    ratio = real.astype(np.float32) / scale.astype(np.float32) + zero.astype(np.float32)
    if not np.isfinite(ratio).all():
        raise ExchangeError.of("quantizes weights that are no finite numbers")
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
    """Make weights with the given bit width, or more if a zero point requires it."""
    least = signed_bits(int(integers.min(initial=0)), int(integers.max(initial=0)))
    if bits == 1 and not (np.abs(integers) == 1).all():
        bits = 2
    return QuantizedConstant(
        integers=integers, scale=scale, bits=bits if bits == 1 else max(bits, least, 2)
    )


def read_whole_weights(values: NDArray[Any]) -> Constant | QuantizedConstant:
    """Read real weights as integers if they all are whole numbers."""
    integers = np.rint(values.astype(np.float64)).astype(np.int64)
    if (integers != values).any():
        return Constant(values=values)
    ones = np.ones((1,) * integers.ndim)
    return _weights(integers, ones, 1 if (np.abs(integers) == 1).all() else 0)


def read_quantize_linear(node: Node, values: Sequence[Value], draft: Draft) -> Value:
    """Read QuantizeLinear of activations, of the model's input or of weights."""
    x, scale = values[0], _scales(values[1])
    dtype = _dtype(node, values[2])
    act = integer_type(dtype)
    if act is None:
        raise ExchangeError.of(f"makes {dtype}; integers of up to 16 bits are supported")
    zero = _zero_points(values[2])
    if isinstance(x, Constant):
        real, axis = x.values.astype(np.float32), int(node.attributes["axis"])
        scale, zero = _along(scale, real.shape, axis), _along(zero, real.shape, axis)
        integers = np.clip(np.rint(real / scale.astype(np.float32)) + zero, act.low, act.high)
        return Constant(values=integers.astype(dtype))
    if not isinstance(x, QUANTIZABLE):
        raise ExchangeError.of("quantizes what is quantized already; leave one quantizer out")
    act = replace(act, zero_point=int(_single(zero, "zero points")))
    quantizer = Quantizer(scale=_single(scale, "scales"), type=act)
    if isinstance(x, PendingTable):
        x = quantize_function(x, quantizer, draft)
    return Integers(of=x, quantizer=quantizer, node=str(node))


def _dtype(node: Node, zero: Value) -> np.dtype[Any]:
    """Find the type of the integers: that of the zero point, or of an attribute."""
    if isinstance(zero, Constant):
        return zero.values.dtype
    wanted = int(node.attributes["output_dtype"] or TensorProto.UINT8)
    return np.dtype(helper.tensor_dtype_to_np_dtype(wanted))


def read_dequantize_linear(node: Node, values: Sequence[Value], draft: Draft) -> Value:
    """Read DequantizeLinear of constants, of quantized activations or of integer images."""
    x, scale, zero = values[0], _scales(values[1], least=0), _zero_points(values[2])
    if isinstance(x, Constant):
        return _dequantized_constant(x.values, scale, zero, int(node.attributes["axis"]))
    if not isinstance(x, Integers):
        if draft.lenient and isinstance(x, QuantizedActivation):
            return x
        raise ExchangeError.of("reads what is not quantized; put a QuantizeLinear before")
    step, point = _single(scale, "scales"), int(_single(zero, "zero points"))
    if step <= 0:
        raise ExchangeError.of(f"has scale {step:g}; a positive one is supported")
    before = x.quantizer
    if isinstance(x.of, ModelInput) and x.of.integer is not None:
        act = replace(x.of.integer, zero_point=point)
        return replace(x.of, quantizer=replace(before, scale=step, type=act))
    if before.type.zero_point != point:
        was = before.type.zero_point
        raise ExchangeError.of(
            f"reads with zero point {point} what was quantized with {was}; one is supported"
        )
    quantized = quantize_integers(node, x, draft)
    if step == before.scale:
        return quantized
    if isinstance(quantized, ModelInput):
        quantized = draft.read_input(quantized)
    return replace(quantized, scale=step)


def _dequantized_constant(
    stored: NDArray[Any], scale: FloatArray, zero: FloatArray, axis: int
) -> QuantizedConstant:
    act = integer_type(stored.dtype)
    if stored.dtype.kind not in "iu" and act is None:
        raise ExchangeError.of(f"reads constants of type {stored.dtype}; integers are supported")
    points = _along(zero, stored.shape, axis).astype(np.int64)
    bits = act.bits if act and act.signed and not zero.any() else 0
    integers = stored.astype(np.int64) - points
    return _weights(integers, _along(scale, stored.shape, axis), bits)


def _act_type(bits: int, signed: bool, zero: FloatArray) -> ActType:
    point = _single(zero, "zero points")
    if point != np.rint(point):
        raise ExchangeError.of(f"has zero point {point}; whole numbers are supported")
    if not 1 + signed <= bits <= 16:
        raise ExchangeError.of(
            f"makes activations of {bits} bits; {1 + signed} to 16 are supported"
        )
    return ActType(bits=bits, signed=signed, zero_point=int(point))


def _zero_points(value: Value) -> FloatArray:
    return np.zeros(1) if isinstance(value, Absent) else constant_of(value, "a zero point")


def _scales(value: Value, *, least: float = 5e-324) -> FloatArray:
    """Read scales of at least `least`; weights that are all 0 may have the scale 0."""
    scale = constant_of(value, "scales", finite=False)
    if scale.size == 0 or not np.isfinite(scale).all() or (scale < least).any():
        raise ExchangeError.of("has a scale that is not positive; positive numbers are supported")
    return scale


def _single(values: FloatArray, what: str) -> float:
    """Read the one number of an activation."""
    if values.size == 0 or (values != values.flat[0]).any():
        raise ExchangeError.of(
            f"has {what} of shape {values.shape} for an activation; one for all is "
            "supported: quantize activations per tensor"
        )
    return float(values.flat[0])


def _broadcast(values: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    """Give parameters the axes of their tensor, aligned at the last axis, as NumPy does."""
    try:
        fits = np.broadcast_shapes(values.shape, shape) == shape
    except ValueError:
        fits = False
    if values.size == 1:
        return values.reshape((1,) * len(shape))
    if not fits:
        raise ExchangeError.of(
            f"has scales or zero points of shape {values.shape} for a tensor of {shape}"
        )
    return values.reshape((1,) * (len(shape) - values.ndim) + values.shape)


def _along(values: FloatArray, shape: tuple[int, ...], axis: int) -> FloatArray:
    """Give parameters along one axis the axes of their tensor, as ONNX does."""
    if values.size == 1:
        return values.reshape((1,) * len(shape))
    axis += len(shape) * (axis < 0)
    if values.ndim != 1 or not 0 <= axis < len(shape) or values.size != shape[axis]:
        raise ExchangeError.of(
            f"has scales or zero points of shape {values.shape} for axis {axis} of a "
            f"tensor of {shape}; one for each place along the axis is supported"
        )
    return values.reshape([-1 if place == axis else 1 for place in range(len(shape))])


MAX_COUNT = 255
"""Greatest number of thresholds of a value, so that counts have 8 bits."""


def read_multi_threshold(node: Node, values: Sequence[Value], draft: Draft) -> Value:
    """Read MultiThreshold of FINN and QONNX: it counts the thresholds that a value reaches.

    Counts q of thresholds stand for ``out_scale * q + out_bias``.
    """
    x = values[0]
    if is_constant(x):
        raise ExchangeError.of("counts the thresholds that constants reach; fold it")
    thresholds = _thresholds(constant_of(values[1], "thresholds"))
    count = thresholds.shape[1]
    scale, bias = (float(node.attributes[name]) for name in ("out_scale", "out_bias"))
    if not (np.isfinite([scale, bias]).all() and scale > 0):
        raise ExchangeError.of(
            f"has out_scale {scale:g} and out_bias {bias:g}; positive scales are supported"
        )
    # The count that stands for 0 becomes the zero point if the counts reach it.
    steps = whole_ratio(bias, scale)
    bias = bias if steps is None else steps * scale
    zero = 1 if steps is None or count == 1 or not 0 <= -steps <= count else -steps
    step = _even_step(thresholds)
    if step is None or (isinstance(x, PendingLayer) and x.slope is not None):
        counts = _count_apart(node, x, thresholds, zero, draft)
        return replace(counts, scale=scale, origin=scale * zero + bias, counts=True)
    moved = thresholds[:, 0] - (1 - zero) * step
    if moved.any():
        x = read_subtract(node, [x, Constant(values=_along_channels(node, moved, x))], draft)
    if count == 1:
        counts = quantize_signs(node, x, 1.0, draft)
    else:
        act = ActType(bits=count.bit_length(), signed=False, zero_point=zero)
        quantizer = Quantizer(scale=step, type=act, rounding="FLOOR", bounds=(0, count))
        assert isinstance(x, ModelInput | QuantizedActivation | PendingLayer | PendingTable)
        result = quantize_value(node, x, quantizer, draft)
        counts = draft.read_input(result) if isinstance(result, ModelInput) else result
    return replace(counts, scale=scale, origin=scale * zero + bias, counts=True)


def _thresholds(given: FloatArray) -> FloatArray:
    """Read thresholds, in ascending order: what counts is how many are reached, not which."""
    if given.ndim != 2 or not 1 <= given.shape[1] <= MAX_COUNT:
        raise ExchangeError.of(
            f"has thresholds of shape {given.shape}; (channels, 1 to {MAX_COUNT}) is supported"
        )
    return np.sort(given, axis=1)


def _even_step(thresholds: FloatArray) -> float | None:
    """Find the step between any two thresholds; None if they are not evenly spaced."""
    steps = np.diff(thresholds, axis=1)
    step = float(steps.flat[0]) if steps.size else 1.0
    return None if (steps != step).any() or step <= 0 else step


def _count_apart(
    node: Node, x: Value, thresholds: FloatArray, zero: int, draft: Draft
) -> QuantizedActivation:
    """Count thresholds that are not evenly spaced, or differently by channel."""
    if isinstance(x, ModelInput) and x.quantizer is None:
        raise ExchangeError.of(
            "has thresholds of the model's float input that are not evenly spaced; quantize it "
            "before"
        )
    pending = pending_of(node, x, draft)
    columns = [
        channel_constants(_along_channels(node, column, x), pending) for column in thresholds.T
    ]
    rows = max(len(column) for column in columns)
    aligned = np.stack([np.broadcast_to(column, rows) for column in columns], axis=1)
    return make_counting(pending, aligned, zero, draft)


def _along_channels(node: Node, values: FloatArray, x: Value) -> FloatArray:
    """Reduce numbers per channel to one if they are equal; otherwise align them to channels."""
    if (values == values[0]).all():
        return values[:1]
    shape = shape_of(x)
    assert shape is not None
    # QONNX takes tensors of three axes without a layout as (N, W, C).
    layout = str(node.attributes["data_layout"]) or ("NWC" if len(shape) == 2 else "NCHW")
    last = layout.endswith("C") and len(shape) > 1
    return values if last else values.reshape(-1, *[1] * (len(shape) - 1))
