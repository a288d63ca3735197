"""Draw graphs of operators on integers, in the style of ONNX Runtime's static quantization."""

from typing import Any

import numpy as np

from systolith.fuzz.graphs import nodes
from systolith.fuzz.graphs.quantizers import QuantizedTensor, write_quantize_linear
from systolith.fuzz.graphs.writer import MICROSOFT, Writer

__all__ = ["draw_integer_graph"]

BYTES = (np.uint8, np.int8)


def draw_integer_graph(writer: Writer, most_layers: int) -> str | None:
    """Draw layer after layer on integers. Returns the output, or None if no layer can be run."""
    writer.dyadic = writer.dyadic and writer.values[writer.input_name].dtype.kind == "f"
    points: list[QuantizedTensor] = []

    def begin() -> str:
        x = writer.input_name
        if writer.values[x].dtype.kind in "iu":
            point = QuantizedTensor(name=x, scale=0.125, zero=0, dtype=writer.values[x].dtype.type)
        else:
            point = write_quantize_linear(writer, x)
        points.append(point)
        return point.name

    if writer.attempt(begin) is None or points[0].dtype not in BYTES:
        return None
    for _ in range(writer.choices.integer(1, most_layers)):
        before = len(points)

        def layer() -> str:
            points.append(_draw_layer(writer, points))
            return points[-1].name

        if writer.attempt(layer) is None:
            del points[before:]
    if len(points) < 2:
        return None
    last = points[-1]
    if writer.chance(80):
        parameters = _parameters(writer, last)
        return writer.attempt(lambda: writer.add("DequantizeLinear", last.name, *parameters))
    return last.name


def _parameters(writer: Writer, point: QuantizedTensor) -> list[str]:
    return [writer.const(point.scale), writer.const(point.zero, point.dtype)]


def _draw_layer(writer: Writer, points: list[QuantizedTensor]) -> QuantizedTensor:
    x, choices = points[-1], writer.choices
    if len(writer.shape(x.name)) != 3:
        if choices.integer(0, 3):
            return _dense(writer, x)
        return _multiply(writer, x, points) if writer.chance(30) else _add(writer, x, points)
    match choices.integer(0, 13):
        case 0 | 1 | 2 | 3 | 4:
            return _convolution(writer, x)
        case 5 | 6:
            return _add(writer, x, points)
        case 7:
            return _average(writer, x)
        case 8:
            kernel = [choices.integer(1, 2), choices.integer(1, 3)]
            name = writer.add("MaxPool", x.name, kernel_shape=kernel)
        case 9 | 10:
            name = nodes.write_flatten(writer, x.name)
        case 12 | 13:
            return _multiply(writer, x, points)
        case _:
            if not writer.rarely(3):
                return _convolution(writer, x)
            pads = writer.const([0, 0, 1, 0, 0, 0, 1, 1], np.int64)
            fill = [writer.const(x.zero, x.dtype)] if writer.chance(60) else []
            name = writer.add("Pad", x.name, pads, *fill)
    return QuantizedTensor(name=name, scale=x.scale, zero=x.zero, dtype=x.dtype)


def _result(writer: Writer, x: QuantizedTensor, reach: float) -> tuple[float, int, Any]:
    """Draw scale and zero point of a result whose values reach about `reach`."""
    low = int(np.iinfo(x.dtype).min)
    zero = low + writer.choices.one_of([128, 0, 100, 140])
    return writer.scale(reach, 128), zero, x.dtype


def _weights(
    writer: Writer, x: QuantizedTensor, shape: tuple[int, ...], axis: int
) -> tuple[list[str], Any]:
    """Write weights with their scale and zero point."""
    rng, choices = writer.choices.generator(), writer.choices
    dtype: Any = np.int8 if writer.chance(70) else np.uint8
    per_channel = writer.chance(35) and dtype is np.int8
    size = (shape[axis],) if per_channel else ()
    scale = np.exp2(rng.integers(-6, -3, size))
    if not writer.dyadic:
        scale = scale * rng.uniform(0.8, 1.2)
    zero = (
        np.zeros(size, dtype) if dtype is np.int8 else np.asarray(choices.one_of([128, 120]), dtype)
    )
    info = np.iinfo(dtype)
    # ONNX Runtime's kernels for bytes saturate sums of two products with greater weights.
    integers = rng.integers(-60, 60, shape) + (0 if info.min else 128)
    return [
        writer.const(integers, dtype),
        writer.const(scale),
        writer.const(zero, dtype),
    ], scale


def _convolution(writer: Writer, x: QuantizedTensor, *, pixels: bool = False) -> QuantizedTensor:
    """Write a convolution; with `pixels`, one value for each pixel."""
    choices, (channels, height, width) = writer.choices, writer.image(x.name)
    kernel = (choices.integer(1, min(3, height)), choices.integer(1, min(3, width)))
    if pixels:
        kernel = (1, 1)
    depthwise = not pixels and writer.chance(20)
    filters, group = (channels, channels) if depthwise else (choices.integer(1, 5), 1)
    if pixels:
        filters = 1
    elif not depthwise and channels % 2 == 0 and writer.chance(20):
        filters, group = 2 * filters, 2
    shape = (filters, channels // group, *kernel)
    options: dict[str, Any] = {"group": group} if group > 1 else {}
    if writer.chance(40):
        options["pads"] = [choices.integer(0, kernel[place % 2] - 1) for place in range(4)]
    if not pixels and writer.chance(30):
        options["strides"] = [choices.integer(1, 2), choices.integer(1, 2)]
    if writer.rarely():
        options["dilations"] = [1, 2]
    if writer.rarely():
        options["auto_pad"] = "SAME_LOWER"
        options.pop("pads", None)
    weights, scale = _weights(writer, x, shape, 0)
    reach = 60 * 60 * np.sqrt(np.prod(shape[1:])) * x.scale * float(np.max(scale))
    out, zero, dtype = _result(writer, x, reach)
    bias = []
    if writer.chance(50):
        bias = [writer.const(choices.generator().integers(-3000, 3000, filters), np.int32)]
    elif writer.chance(20):
        bias = [""]
    given = [*_parameters(writer, x), *weights, writer.const(out), writer.const(zero, dtype)]
    name = writer.add("QLinearConv", x.name, *given, *bias, **options)
    return QuantizedTensor(name=name, scale=out, zero=zero, dtype=dtype)


def _dense(writer: Writer, x: QuantizedTensor) -> QuantizedTensor:
    choices, (features,) = writer.choices, writer.vector(x.name)
    outputs = choices.integer(2, 6)
    transposed = writer.chance(50)
    gemm = writer.chance(50)
    shape = (outputs, features) if gemm and transposed else (features, outputs)
    weights, scale = _weights(writer, x, shape, shape.index(outputs) if outputs != features else 1)
    if gemm and transposed and np.ndim(scale):
        weights, scale = _weights(writer, x, shape, 0)
    out, zero, dtype = _result(
        writer, x, 60 * 60 * np.sqrt(features) * x.scale * float(np.max(scale))
    )
    result = [writer.const(out), writer.const(zero, dtype)]
    given = [x.name, *_parameters(writer, x), *weights]
    if not gemm:
        name = writer.add("QLinearMatMul", *given, *result)
        return QuantizedTensor(name=name, scale=out, zero=zero, dtype=dtype)
    rng = choices.generator()
    bias = writer.const(rng.integers(-3000, 3000, outputs), np.int32) if writer.chance(60) else ""
    options: dict[str, Any] = {"transB": 1} if transposed else {}
    if writer.rarely():
        options["alpha"] = 2.0
    name = writer.add("QGemm", *given, bias, *result, domain=MICROSOFT, **options)
    return QuantizedTensor(name=name, scale=out, zero=zero, dtype=dtype)


def _add(writer: Writer, x: QuantizedTensor, points: list[QuantizedTensor]) -> QuantizedTensor:
    alike = [
        point
        for point in points
        if writer.shape(point.name) == writer.shape(x.name) and point.dtype is x.dtype
    ]
    other = writer.choices.one_of(alike)
    out, zero, dtype = _result(writer, x, 100 * (x.scale + other.scale))
    operands = [[point.name, *_parameters(writer, point)] for point in (x, other)]
    if writer.rarely(2):
        size = (writer.shape(x.name)[0], *[1] * (len(writer.shape(x.name)) - 1))
        values = writer.choices.generator().integers(0, 100, size)
        operands[1][0] = writer.const(values, x.dtype)
    given = [*operands[0], *operands[1], writer.const(out), writer.const(zero, dtype)]
    name = writer.add("QLinearAdd", *given, domain=MICROSOFT)
    return QuantizedTensor(name=name, scale=out, zero=zero, dtype=dtype)


def _multiply(writer: Writer, x: QuantizedTensor, points: list[QuantizedTensor]) -> QuantizedTensor:
    """Write a product with an earlier tensor of the same shape, or with a gate."""
    choices = writer.choices
    alike = [
        point
        for point in points
        if writer.shape(point.name) == writer.shape(x.name) and point.dtype is x.dtype
    ]
    other = choices.one_of(alike)
    if len(writer.shape(x.name)) == 3 and writer.chance(60):
        other = (
            _average_all(writer, x) if writer.chance(60) else _convolution(writer, x, pixels=True)
        )
    out, zero, dtype = _result(writer, x, 60 * 60 * x.scale * other.scale)
    operands = [[point.name, *_parameters(writer, point)] for point in (x, other)]
    if writer.chance(30):
        operands.reverse()
    given = [*operands[0], *operands[1], writer.const(out), writer.const(zero, dtype)]
    name = writer.add("QLinearMul", *given, domain=MICROSOFT)
    return QuantizedTensor(name=name, scale=out, zero=zero, dtype=dtype)


def _average(writer: Writer, x: QuantizedTensor) -> QuantizedTensor:
    if writer.chance(50):
        return _average_all(writer, x)
    choices = writer.choices
    out, zero, dtype = _result(writer, x, 100 * x.scale)
    given = [x.name, *_parameters(writer, x), writer.const(out), writer.const(zero, dtype)]
    kernel = [choices.integer(1, 3), choices.integer(1, 2)]
    options: dict[str, Any] = {"kernel_shape": kernel}
    writer.dyadic &= (kernel[0] * kernel[1]).bit_count() == 1
    if writer.chance(40):
        options["strides"] = [choices.integer(1, 2), choices.integer(1, 2)]
    if writer.rarely():
        options["ceil_mode"] = 1
    if writer.rarely():
        options["pads"] = [kernel[0] - 1, 0, 0, 0]
        options["count_include_pad"] = choices.integer(0, 1)
        writer.dyadic = False
    name = writer.add("QLinearAveragePool", *given, domain=MICROSOFT, **options)
    return QuantizedTensor(name=name, scale=out, zero=zero, dtype=dtype)


def _average_all(writer: Writer, x: QuantizedTensor) -> QuantizedTensor:
    """Write an average of whole images."""
    out, zero, dtype = _result(writer, x, 100 * x.scale)
    given = [x.name, *_parameters(writer, x), writer.const(out), writer.const(zero, dtype)]
    area = int(np.prod(writer.shape(x.name)[1:]))
    writer.dyadic &= area.bit_count() == 1
    name = writer.add("QLinearGlobalAveragePool", *given, domain=MICROSOFT, channels_last=0)
    return QuantizedTensor(name=name, scale=out, zero=zero, dtype=dtype)
