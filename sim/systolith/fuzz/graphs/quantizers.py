"""Write quantizers of activations and weights, in ONNX or QONNX."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from systolith.fuzz.graphs.reference import QONNX_DOMAIN
from systolith.fuzz.graphs.writer import Writer

__all__ = [
    "QuantizedTensor",
    "draw_linear_type",
    "write_bias",
    "write_quantize_linear",
    "write_quantizer",
    "write_weights",
]

WIDE_OPSET = 21
PER_AXIS_OPSET = 13


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizedTensor:
    """A tensor of integers q with real values ``scale * (q - zero)``."""

    name: str
    scale: float
    zero: int
    dtype: Any


def draw_linear_type(writer: Writer, x: str) -> tuple[float, int, Any]:
    """Draw scale, zero point and type for a float tensor."""
    choices = writer.choices
    values = writer.values[x]
    dtypes: list[Any] = [np.uint8, np.int8]
    if writer.opset >= WIDE_OPSET and writer.chance(20):
        dtypes = [np.uint16, np.int16]
        writer.dyadic = False  # float32 rounds sums of more than 24 bits
    dtype = choices.one_of(dtypes)
    info = np.iinfo(dtype)
    levels = (info.max - info.min) // 2
    positive = bool((values >= 0).all()) and writer.chance(80)
    scale = writer.scale(float(np.abs(values).max()), levels)
    middle = int(info.min) if positive else (int(info.min) + int(info.max) + 1) // 2
    match choices.integer(0, 3):
        case 0:
            zero = middle
        case 1:
            zero = 0
        case _:
            zero = middle + choices.integer(-20, 20)
    return scale, int(np.clip(zero, info.min, info.max)), dtype


def write_quantizer(writer: Writer, x: str) -> str:
    """Quantize and dequantize a float tensor. Returns the name of the float result."""
    if writer.qonnx:
        return _quant(writer, x)
    point = write_quantize_linear(writer, x)
    integers = point.name
    if writer.chance(8):
        integers = _draw_on_integers(writer, point)
    return _dequantize(writer, integers, point)


def write_quantize_linear(writer: Writer, x: str) -> QuantizedTensor:
    """Write a QuantizeLinear."""
    scale, zero, dtype = draw_linear_type(writer, x)
    parameters = _parameters(writer, scale, zero, dtype)
    options: dict[str, Any] = {}
    if writer.rarely() and writer.opset >= WIDE_OPSET and zero == 0:
        options["output_dtype"] = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        parameters = parameters[:1]
    elif zero == 0 and dtype is np.uint8 and writer.chance(30):
        parameters = parameters[:1] if writer.chance(60) else [parameters[0], ""]
    if writer.rarely():
        options["axis"] = 1
    name = writer.add("QuantizeLinear", x, *parameters, **options)
    return QuantizedTensor(name=name, scale=scale, zero=zero, dtype=dtype)


def _dequantize(writer: Writer, integers: str, point: QuantizedTensor) -> str:
    parameters = _parameters(writer, point.scale, point.zero, point.dtype)
    if point.zero == 0 and writer.chance(30):
        parameters = parameters[:1]
    result = writer.add("DequantizeLinear", integers, *parameters)
    writer.scales[result] = np.asarray(point.scale)
    return result


def _parameters(writer: Writer, scale: float, zero: int, dtype: Any) -> list[str]:
    one = (lambda value: [value]) if writer.chance(20) else (lambda value: value)
    return [writer.const(one(scale)), writer.const(one(zero), dtype)]


def _draw_on_integers(writer: Writer, point: QuantizedTensor) -> str:
    """Write an operator on the integers between quantization and dequantization."""
    choices, zero, info = writer.choices, point.zero, np.iinfo(point.dtype)
    integer = partial(writer.const, dtype=point.dtype)
    rank = writer.values[point.name].ndim
    pads = writer.const([0, 0, 1, 1, 0, 0, choices.integer(0, 1), 1], np.int64)
    bits = choices.integer(2, 7)
    low = int(info.min) if info.min == 0 else -(1 << (bits - 1)) + choices.integer(0, 1)
    high = (1 << bits) - 1 if info.min == 0 else (1 << (bits - 1)) - 1
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(point.dtype))
    forms: list[Callable[[], str]] = [
        lambda: writer.add("Clip", point.name, integer(low), integer(high)),
        lambda: writer.add("Clip", point.name, integer(zero), integer(info.max)),
        lambda: writer.add("Relu", point.name),
        lambda: writer.add("Cast", point.name, to=kind),
        lambda: writer.add("Identity", point.name),
        lambda: writer.add("Flatten", point.name),
    ]
    if rank == 4:
        forms += [
            lambda: writer.add("Pad", point.name, pads),
            lambda: writer.add("Pad", point.name, pads, integer(zero)),
            lambda: writer.add("MaxPool", point.name, kernel_shape=[2, 2]),
            lambda: writer.add(
                "Transpose",
                writer.add("Transpose", point.name, perm=[0, 2, 3, 1]),
                perm=[0, 3, 1, 2],
            ),
        ]
    write = choices.one_of(forms)
    return write()


def _quant(writer: Writer, x: str) -> str:
    """Write a QONNX quantizer of activations."""
    choices = writer.choices
    if writer.dyadic and writer.values[x].ndim in (2, 4) and writer.chance(10):
        return _write_thresholds(writer, x)
    values = writer.values[x]
    positive = bool((values >= 0).all()) and writer.chance(80)
    bits, signed = choices.integer(2, 8), int(not positive)
    if writer.rarely():
        bits = choices.one_of([1, 12, 16])
        writer.dyadic &= bits == 1  # float32 rounds sums of more than 24 bits
    scale = writer.scale(float(np.abs(values).max()), (1 << (bits - signed)) - 1)
    zero = choices.integer(0, 3) if writer.rarely() else 0
    mode = "ROUND"
    if writer.chance(15):
        mode = choices.one_of(["FLOOR", "HALF_EVEN"])
    if writer.rarely():
        mode = choices.one_of(["CEIL", "ROUND_TO_ZERO", "HALF_UP", "DOWN", "UP", "HALF_DOWN"])
    shape = [()] if not writer.chance(20) else [(1,), (1,) * values.ndim]
    array = np.full(choices.one_of(shape), scale)
    if writer.rarely():
        array = scale * np.exp2(np.arange(values.shape[1]) % 3).reshape(
            1, -1, *[1] * (values.ndim - 2)
        )
    result = _custom_quant(
        writer, x, array, zero, bits, signed=signed, narrow=int(writer.chance(20)), mode=mode
    )
    writer.scales[result] = np.asarray(scale)
    return result


def _write_thresholds(writer: Writer, x: str) -> str:
    """Write a MultiThreshold, of equal or other distances, for all channels or for each."""
    choices, rng = writer.choices, writer.choices.generator()
    values = writer.values[x]
    count = choices.one_of([1, 3, 7, 15, choices.integer(1, 20)])
    rows = values.shape[1] if writer.chance(50) else 1
    step = writer.scale(float(np.abs(values).max()), count)
    first = rng.integers(-count, 2, (rows, 1))
    if writer.chance(40):
        thresholds = step * (first + np.arange(count))
    else:
        thresholds = step / 4 * np.sort(rng.integers(-4 * count, 4 * count + 1, (rows, count)))
    scale = float(2.0 ** choices.integer(-5, 2))
    bias = -scale * choices.integer(0, count + 1) if writer.chance(40) else 0.0
    options: dict[str, Any] = {}
    if writer.chance(70):
        options = {"out_scale": scale, "out_bias": bias}
    result = writer.add(
        "MultiThreshold",
        x,
        writer.const(thresholds),
        domain=QONNX_DOMAIN,
        out_dtype="FLOAT32" if options else "UINT8",
        **options,
    )
    writer.scales[result] = np.asarray(scale if options else 1.0)
    return result


def _custom_quant(
    writer: Writer, x: str, scale: Any, zero: Any, bits: int, *, signed: int, narrow: int, mode: str
) -> str:
    op = "IntQuant" if writer.chance(10) else "Quant"
    return writer.add(
        op,
        x,
        writer.const(scale),
        writer.const(zero),
        writer.const(bits),
        domain=QONNX_DOMAIN,
        signed=signed,
        narrow=narrow,
        rounding_mode=mode,
    )


def write_weights(writer: Writer, shape: tuple[int, ...], axis: int) -> str:
    """Write quantized weights with one scale, or with one per output channel along `axis`."""
    write = _qonnx_weights if writer.qonnx else _linear_weights
    scale, per_channel = _weight_scale(writer, shape[axis])
    weights = write(writer, shape, axis, scale, per_channel)
    writer.scales[weights] = np.asarray(scale)
    return weights


def _weight_scale(writer: Writer, channels: int) -> tuple[Any, bool]:
    """Draw a scale, or one per channel."""
    base = float(2.0 ** -writer.choices.integer(2, 6))
    per_channel = writer.chance(45)
    if not per_channel:
        return base if writer.dyadic else base * 1.3, False
    rng = writer.choices.generator()
    spread = np.exp2(rng.integers(-2, 2, channels))
    return base * (spread if writer.dyadic else spread * rng.uniform(0.7, 1.4, channels)), True


def _linear_weights(
    writer: Writer, shape: tuple[int, ...], axis: int, scale: Any, per_channel: bool
) -> str:
    choices, rng = writer.choices, writer.choices.generator()
    if writer.opset < PER_AXIS_OPSET and per_channel:
        scale, per_channel = float(scale[0]), False
    unsigned = writer.chance(25)
    dtype: Any = np.uint8 if unsigned else np.int8
    high = choices.one_of([127, 7, 31, 1])
    integers = rng.integers(-high - 1, high + 1, shape)
    zero = np.zeros(np.shape(scale), dtype)
    if unsigned:
        middle = 128 if not writer.chance(30) else choices.integer(100, 150)
        integers, zero = np.clip(integers + middle, 0, 255), zero + dtype(middle)
    options: dict[str, Any] = {"axis": axis} if per_channel else {}
    if per_channel and writer.chance(20):
        options["axis"] = axis - len(shape)
    parameters = [writer.const(scale), writer.const(zero, dtype)]
    if not unsigned and writer.chance(15):
        parameters = parameters[:1]
    if writer.rarely() and len(shape) == 2 and shape[0] % 2 == 0:
        blocks = (shape[0] // 2, shape[1])
        fine = np.exp2(rng.integers(-6, -3, blocks))
        parameters = [writer.const(fine)]
        options = {"axis": 0, "block_size": 2}
        dtype, integers = np.int8, rng.integers(-8, 8, shape)
    if writer.chance(20) and not options.get("block_size"):
        real = ((integers - middle if unsigned else integers) + rng.uniform(-0.4, 0.4, shape)) * (
            np.reshape(scale, [-1 if place == axis else 1 for place in range(len(shape))])
            if per_channel
            else scale
        )
        stored = writer.add("QuantizeLinear", writer.const(real), *parameters, **options)
        dtype = writer.values[stored].dtype
    elif writer.rarely() and writer.opset >= WIDE_OPSET and not options.get("block_size"):
        return _four_bits(writer, shape, scale, options)
    else:
        stored = writer.const(integers, dtype)
    if writer.rarely() and np.iinfo(dtype).min < 0:
        bounds = writer.const(-8, dtype), writer.const(7, dtype)
        stored = writer.add("Clip", stored, *bounds)
    if writer.rarely():
        stored = writer.add("Identity", stored)
    return writer.add("DequantizeLinear", stored, *parameters, **options)


def _four_bits(writer: Writer, shape: tuple[int, ...], scale: Any, options: dict[str, Any]) -> str:
    integers = writer.choices.generator().integers(-8, 8, shape)
    name = f"c4_{len(writer.constants)}_{len(writer.nodes)}"
    tensor = helper.make_tensor(name, TensorProto.INT4, shape, integers.reshape(-1).tolist())
    stored = writer.stored(tensor, numpy_helper.to_array(tensor))
    return writer.add("DequantizeLinear", stored, writer.const(scale), **options)


def _qonnx_weights(
    writer: Writer, shape: tuple[int, ...], axis: int, scale: Any, per_channel: bool
) -> str:
    choices, rng = writer.choices, writer.choices.generator()
    if per_channel:
        aligned = [-1 if place == axis else 1 for place in range(len(shape))]
        scale = np.reshape(scale, aligned)
        if writer.rarely(2):
            scale = np.ravel(scale)
    elif writer.chance(20):
        scale = np.reshape(scale, [1] * choices.integer(0, len(shape)))
    bits = choices.integer(1, 8)
    real = rng.normal(0, 0.6 * (1 << (bits - 1)), shape) * np.max(scale)
    if writer.chance(10):
        return writer.add(
            "BipolarQuant", writer.const(real), writer.const(scale), domain=QONNX_DOMAIN
        )
    zero = choices.integer(-2, 2) if writer.rarely() else 0
    mode = "FLOOR" if writer.chance(10) else "ROUND"
    signed = int(not writer.rarely() or bits == 1)
    return _custom_quant(
        writer,
        writer.const(real),
        scale,
        zero,
        bits,
        signed=signed,
        narrow=int(writer.chance(30) and bits > 1),
        mode=mode,
    )


def write_bias(writer: Writer, channels: int, unit: Any) -> list[str]:
    """Write a bias of multiples of a unit, per channel or for all channels, or none."""
    if writer.chance(35):
        return []
    integers = writer.choices.generator().integers(-300, 300, channels)
    match writer.choices.integer(0, 4):
        case 0 | 1:
            return [writer.const(integers * unit)]
        case 2 if not writer.qonnx:
            scale = writer.const(unit)
            axis: dict[str, Any] = {"axis": 0} if np.ndim(unit) else {}
            stored = writer.const(integers, np.int32)
            return [writer.add("DequantizeLinear", stored, scale, **axis)]
        case 3:
            return [""]
        case _:
            return [writer.const(integers * unit)]
