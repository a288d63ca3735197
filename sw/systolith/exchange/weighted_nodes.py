"""Nodes with weights: convolution, fully connected layers, batch norm."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from systolith.exchange.building import Building
from systolith.exchange.errors import ExchangeError
from systolith.exchange.model_file import Node
from systolith.exchange.structure import DENSE, Structure, detect
from systolith.exchange.values import (
    Activation,
    Constant,
    Emit,
    FloatArray,
    Pending,
    QuantizedConstant,
    Value,
)
from systolith.exchange.windows import window_of
from systolith.network import (
    ActType,
    BoolArray,
    Conv2d,
    IntArray,
    Layer,
    Linear,
    Requantize,
    Tensor,
    accumulator_range,
)

__all__ = ["batch_norm", "convolve", "gemm", "matmul", "multiplied", "shifted", "weighted"]

BIAS_FITS = 1 << 39
"""Biases have 40 bits."""


def convolve(node: Node, values: Sequence[Value], made: Building) -> Value:
    """Conv: two-dimensional, of one group or depthwise."""
    weight, x = _weights(node, values[1], axis=0), values[0]
    if weight.integers.ndim != 4:
        axes = weight.integers.ndim - 2
        raise ExchangeError([f"is {axes}-dimensional; two-dimensional ones are supported"])
    if not isinstance(x, Activation):
        raise ExchangeError([_not_quantized("its input", x)])
    problems = []
    groups = int(node.get("group", 1))
    filters, channels, *kernel = weight.integers.shape
    if groups != 1 and channels != 1:
        problems.append(
            f"has {groups} groups of {channels} channels; 1 group or depthwise is supported: write "
            "its weights as one group, with zeros between the groups"
        )
    if any(by != 1 for by in node.get("dilations", [1])):
        problems.append(
            f"is dilated by {tuple(node.get('dilations', []))}; not supported: write zeros between "
            "the weights"
        )
    stride, padding, found = window_of(node, (kernel[0], kernel[1]), x.tensor.shape, x.padding)
    if problems + found:
        raise ExchangeError(problems + found)
    scale = weight.scale.reshape(-1)
    # Engines for depthwise layers have all weights of a channel.
    structure = detect(weight.integers) if groups == 1 else DENSE

    def emit(name: str, bias: IntArray, requantize: Requantize, output: ActType) -> Layer:
        return Conv2d(
            name=name,
            input=x.layer,
            weight=weight.integers,
            bias=bias,
            requantize=requantize,
            output=output,
            weight_bits=weight.bits,
            stride=stride,
            padding=padding,
            groups=groups,
            pattern=structure.pattern,
            mask=structure.mask,
        )

    return _pending(node, values, emit, x, np.broadcast_to(scale, filters))


def gemm(node: Node, values: Sequence[Value], made: Building) -> Value:
    """Gemm, without factors, and with plain activations."""
    problems = [
        f"has {name} {given:g}; 1 is supported: fold it into the weights"
        for name in ("alpha", "beta")
        if (given := float(node.get(name, 1.0))) != 1.0
    ]
    if node.get("transA", 0):
        problems.append("transposes its activations; not supported")
    if problems:
        raise ExchangeError(problems)
    return _linear(node, values, transposed=not node.get("transB", 0))


def matmul(node: Node, values: Sequence[Value], made: Building) -> Value:
    """MatMul of an activation and constant weights."""
    return _linear(node, values, transposed=True)


def _linear(node: Node, values: Sequence[Value], *, transposed: bool) -> Value:
    x = values[0]
    weight = _weights(node, values[1], axis=1 if transposed else 0)
    if weight.integers.ndim != 2:
        raise ExchangeError(
            [f"has weights of shape {weight.integers.shape}; a matrix is supported"]
        )
    if not isinstance(x, Activation):
        raise ExchangeError([_not_quantized("its input", x)])
    if len(x.tensor.shape) != 1:
        raise ExchangeError(
            [f"reads images {x.tensor.shape}; vectors are supported: put a Flatten before"]
        )
    integers = weight.integers.T if transposed else weight.integers
    structure: Structure = detect(integers)

    def emit(name: str, bias: IntArray, requantize: Requantize, output: ActType) -> Layer:
        return Linear(
            name=name,
            input=x.layer,
            weight=integers,
            bias=bias,
            requantize=requantize,
            output=output,
            weight_bits=weight.bits,
            pattern=structure.pattern,
            mask=structure.mask,
        )

    scale = np.broadcast_to(weight.scale.reshape(-1), len(integers))
    return _pending(node, values, emit, x, scale)


def _pending(
    node: Node, values: Sequence[Value], emit: Emit, x: Activation, scale: FloatArray
) -> Value:
    """What the node gives before it is quantized."""
    channels = len(scale)
    offset = np.zeros(channels)
    if len(values) > 2:
        offset = _bias(values[2], channels)
    return weighted(node.name, emit, x.tensor, scale * x.scale, offset)


def weighted(
    name: str, emit: Emit, source: Tensor, scale: FloatArray, offset: FloatArray
) -> Pending:
    """A layer with weights whose result waits to be quantized."""
    channels = len(scale)
    probe = Requantize(multiplier=np.array([1]), shift=np.array([0]))
    wide = ActType(bits=16, signed=True)

    def accumulated(bias: IntArray) -> tuple[int, int]:
        layer = emit("probe", np.clip(bias, -BIAS_FITS, BIAS_FITS - 1), probe, wide)
        return accumulator_range(layer, [(source.shape, source.type)])

    layer = emit("probe", np.zeros(channels, dtype=np.int64), probe, wide)
    if problems := list(layer.problems([source.shape])):
        raise ExchangeError(problems)
    shape = layer.output_shape([source.shape])
    return Pending(
        name=name,
        shape=shape,
        result=shape,
        emit=emit,
        accumulated=accumulated,
        scale=np.array(scale, dtype=np.float64),
        offset=np.array(offset, dtype=np.float64),
        biased=True,
    )


def _bias(value: Value, channels: int) -> FloatArray:
    match value:
        case Constant():
            real = np.asarray(value.values, dtype=np.float64)
        case QuantizedConstant():
            real = value.real
        case _:
            raise ExchangeError(["has a bias that is computed; a constant one is supported"])
    try:
        return np.broadcast_to(real.reshape(-1), channels)
    except ValueError:
        raise ExchangeError([f"has a bias of shape {real.shape} for {channels} channels"]) from None


def _weights(node: Node, value: Value, axis: int) -> QuantizedConstant:
    """Weights, with one scale for all or one for each output channel."""
    if not isinstance(value, QuantizedConstant):
        raise ExchangeError([_not_quantized("its weights", value)])
    sizes = [size for place, size in enumerate(value.scale.shape) if place != axis]
    if any(size != 1 for size in sizes):
        raise ExchangeError(
            [
                (
                    f"has weights with scales of shape {value.scale.shape}; one for each output "
                    f"channel (axis {axis}) is supported"
                )
            ]
        )
    return value


def _not_quantized(what: str, value: Value) -> str:
    match value:
        case Constant():
            return f"{what} are float constants: quantize them (Quant, or DequantizeLinear)"
        case Pending():
            return (
                f"{what} comes from '{value.name}' without being quantized: put a quantizer "
                "(Quant, or QuantizeLinear and DequantizeLinear) between"
            )
        case QuantizedConstant():
            return f"{what} is constant"
        case _:
            return f"{what} is the model's float input: put a quantizer before"


def batch_norm(node: Node, values: Sequence[Value], made: Building) -> Value:
    """BatchNormalization after a layer with weights, before anything is cut off."""
    x = values[0]
    given = [value for value in values[1:] if isinstance(value, Constant)]
    if len(given) != 4:
        raise ExchangeError(["has parameters that are computed; constant ones are supported"])
    if not isinstance(x, Pending) or not x.biased or x.clipped or x.then:
        raise ExchangeError(
            ["stands where no convolution or fully connected layer comes right before it: fold it"]
        )
    gamma, beta, mean, variance = (np.asarray(each.values, dtype=np.float64) for each in given)
    factor = gamma / np.sqrt(variance + float(node.get("epsilon", 1e-5)))
    return shifted(multiplied(x, factor), beta - mean * factor)


def multiplied(x: Pending, factor: FloatArray) -> Pending:
    """Multiply what a layer gives by constants, shape (channels,) or (1,), of any sign."""
    if (factor < 0).any():
        if not x.biased or x.clipped or x.then:
            raise ExchangeError(
                ["multiplies by a negative constant where no layer with weights comes right before"]
            )
        x = _negated(x, np.broadcast_to(factor < 0, x.scale.shape))
    if (x.clipped or x.step is not None) and factor.size > 1 and (factor != factor.flat[0]).any():
        raise ExchangeError(["multiplies channels differently after something was cut off"])
    _check_channels(x, factor)
    return x.scaled(np.abs(factor))


def shifted(x: Pending, by: FloatArray) -> Pending:
    """Add constants, shape (channels,) or (1,)."""
    if x.clipped or x.step is not None:
        raise ExchangeError(["adds a constant after something was cut off"])
    _check_channels(x, by)
    return replace(x, offset=x.offset + by)


def _check_channels(x: Pending, values: FloatArray) -> None:
    """See that constants are for the channels of the layer, not for what became of them."""
    if values.size > 1 and len(x.result) != len(x.shape):
        raise ExchangeError(["has a constant for each feature of a flattened image; put it before"])
    if values.size not in (1, x.shape[0]):
        raise ExchangeError([f"has {values.size} constants for {x.shape[0]} channels"])


def _negated(x: Pending, where: BoolArray) -> Pending:
    """Turn the signs of some channels, by those of their weights."""
    signs = np.where(where, -1, 1)

    def emit(name: str, bias: IntArray, requantize: Requantize, output: ActType) -> Layer:
        layer = x.emit(name, bias, requantize, output)
        assert isinstance(layer, Conv2d | Linear)
        turned = layer.weight * signs.reshape(-1, *[1] * (layer.weight.ndim - 1))
        # The least weight has no positive twin of as many bits.
        most = 1 << (layer.weight_bits - 1)
        bits = layer.weight_bits + int(turned.max(initial=0) >= most and layer.weight_bits > 1)
        return replace(layer, weight=turned, weight_bits=bits)

    def accumulated(bias: IntArray) -> tuple[int, int]:
        low, high = x.accumulated(bias * signs)
        return min(low, -high), max(high, -low)

    return replace(x, emit=emit, accumulated=accumulated, offset=x.offset * signs)
