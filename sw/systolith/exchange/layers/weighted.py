"""Layers with weights whose results wait to be quantized, and constants in them."""

from dataclasses import replace
from math import inf

import numpy as np

from systolith.exchange.errors import ExchangeError
from systolith.exchange.file.model_file import Node
from systolith.exchange.layers.draft import Building
from systolith.exchange.layers.operands import activation_of
from systolith.exchange.layers.structure import detect
from systolith.exchange.values.quantizer import FloatArray
from systolith.exchange.values.value import Emit, Pending, Value
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

__all__ = ["affine_of", "multiplied", "shifted", "weighted"]

BIAS_FITS = 1 << 39
"""Biases have 40 bits."""


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


def multiplied(x: Pending, factor: FloatArray) -> Pending:
    """Multiply what a layer gives by constants, shape (channels,) or (1,), of any sign."""
    if (factor < 0).any():
        if not x.biased or x.clipped or x.then:
            raise ExchangeError(
                [
                    (
                        "multiplies by a negative constant where no layer with weights comes "
                        "right before; put a quantizer before it"
                    )
                ]
            )
        x = _negated(x, np.broadcast_to(factor < 0, x.scale.shape))
    # Zero and infinity stay what they are.
    bounded = {x.low, x.high} - {0.0, inf, -inf}
    if (bounded or x.step is not None) and factor.size > 1 and (factor != factor.flat[0]).any():
        raise ExchangeError(
            [
                (
                    "multiplies channels differently after something was cut off; put a "
                    "quantizer before it"
                )
            ]
        )
    return x.scaled(np.abs(factor))


def shifted(x: Pending, by: FloatArray) -> Pending:
    """Add constants, shape (channels,) or (1,)."""
    if x.clipped or x.step is not None:
        raise ExchangeError(
            ["adds a constant after something was cut off; put a quantizer before it"]
        )
    if any(x.padding):
        raise ExchangeError(["adds a constant to a padded image; pad it right before the layer"])
    return replace(x, offset=x.offset + by)


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


def affine_of(node: Node, x: Value, made: Building) -> Pending:
    """See a quantized activation as a layer with weights that keeps it, and waits for constants.

    Images go through a depthwise convolution of 1x1, vectors through a diagonal matrix; weights
    are 1.

    Raises
    ------
    ExchangeError
        If it is no activation, or waits to be padded.
    """
    if isinstance(x, Pending):
        return x
    act = activation_of(x, made)
    if any(act.padding):
        raise ExchangeError(["works on a padded image; pad it right before the layer"])
    shape = act.tensor.shape
    ones = np.ones((shape[0], 1, 1, 1), dtype=np.int64)
    matrix = np.eye(shape[0], dtype=np.int64)
    structure = detect(matrix) if len(shape) == 1 else None

    def emit(name: str, bias: IntArray, requantize: Requantize, output: ActType) -> Layer:
        if structure is None:
            return Conv2d(
                name=name,
                input=act.layer,
                weight=ones,
                bias=bias,
                requantize=requantize,
                output=output,
                weight_bits=2,
                groups=shape[0],
            )
        return Linear(
            name=name,
            input=act.layer,
            weight=matrix,
            bias=bias,
            requantize=requantize,
            output=output,
            weight_bits=2,
            pattern=structure.pattern,
            mask=structure.mask,
        )

    scale, offset = np.full(shape[0], act.scale), np.full(shape[0], act.origin)
    return replace(weighted(node.name, emit, act.tensor, scale, offset), places=act.places)
