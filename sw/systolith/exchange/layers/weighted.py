"""Pending layers with weights, and constants that become part of them."""

from dataclasses import replace
from math import inf

import numpy as np

from systolith.exchange.errors import ExchangeError
from systolith.exchange.file.model_file import Node
from systolith.exchange.layers.draft import Draft
from systolith.exchange.layers.operands import activation_of
from systolith.exchange.layers.plain import PROBE_REQUANTIZE, PROBE_TYPE
from systolith.exchange.layers.structure import detect_structure
from systolith.exchange.values.quantizer import FloatArray
from systolith.exchange.values.value import MakeLayer, PendingLayer, Value
from systolith.network import (
    ActType,
    BoolArray,
    Conv2d,
    IntArray,
    Linear,
    Requantize,
    Requantized,
    Tensor,
)

__all__ = ["affine_of", "make_weighted", "multiply_pending", "shift_pending"]

BIAS_LIMIT = 1 << 39
"""Biases have 40 bits."""


def make_weighted(
    name: str, make: MakeLayer, source: Tensor, scale: FloatArray, offset: FloatArray
) -> PendingLayer:
    """Make a pending layer with weights."""
    channels = len(scale)

    def sum_range(bias: IntArray) -> tuple[int, int]:
        layer = make(
            "probe", np.clip(bias, -BIAS_LIMIT, BIAS_LIMIT - 1), PROBE_REQUANTIZE, PROBE_TYPE
        )
        return layer.accumulator_range([source])

    layer = make("probe", np.zeros(channels, dtype=np.int64), PROBE_REQUANTIZE, PROBE_TYPE)
    if problems := list(layer.problems([source.shape])):
        raise ExchangeError(problems)
    shape = layer.output_shape([source.shape])
    return PendingLayer(
        name=name,
        shape=shape,
        result=shape,
        make=make,
        sum_range=sum_range,
        scale=np.array(scale, dtype=np.float64),
        offset=np.array(offset, dtype=np.float64),
        biased=True,
    )


def multiply_pending(x: PendingLayer, factor: FloatArray) -> PendingLayer:
    """Multiply a layer's result by constants of any sign, shape (channels,) or (1,)."""
    if (factor < 0).any():
        if not x.biased or x.clipped or x.then:
            raise ExchangeError.of(
                "multiplies by a negative constant where no layer with weights comes "
                "right before; put a quantizer before it"
            )
        x = _negate(x, np.broadcast_to(factor < 0, x.scale.shape))
    # The bounds 0 and infinity do not change with the scale.
    bounded = {x.low, x.high} - {0.0, inf, -inf}
    if (bounded or x.step is not None) and factor.size > 1 and (factor != factor.flat[0]).any():
        raise ExchangeError.of(
            "multiplies channels differently after something was cut off; put a quantizer before it"
        )
    return x.scale_by(np.abs(factor))


def shift_pending(x: PendingLayer, by: FloatArray) -> PendingLayer:
    """Add constants to a layer's result, shape (channels,) or (1,)."""
    if x.slope is not None and x.low == -inf and x.high == inf and by.size == 1:
        return replace(x, raised=x.raised + float(by[0]))
    if x.clipped or x.step is not None:
        raise ExchangeError.of(
            "adds a constant after something was cut off; put a quantizer before it"
        )
    if any(x.padding):
        raise ExchangeError.of("adds a constant to a padded image; pad it right before the layer")
    return replace(x, offset=x.offset + by)


def _negate(x: PendingLayer, where: BoolArray) -> PendingLayer:
    """Negate some channels by negating their weights."""
    signs = np.where(where, -1, 1)

    def make(name: str, bias: IntArray, requantize: Requantize, output: ActType) -> Requantized:
        layer = x.make(name, bias, requantize, output)
        assert isinstance(layer, Conv2d | Linear)
        negated = layer.weight * signs.reshape(-1, *[1] * (layer.weight.ndim - 1))
        # The negative of the least weight needs one more bit.
        most = 1 << (layer.weight_bits - 1)
        bits = layer.weight_bits + int(negated.max(initial=0) >= most and layer.weight_bits > 1)
        return replace(layer, weight=negated, weight_bits=bits)

    def sum_range(bias: IntArray) -> tuple[int, int]:
        low, high = x.sum_range(bias * signs)
        return min(low, -high), max(high, -low)

    return replace(x, make=make, sum_range=sum_range, offset=x.offset * signs)


def affine_of(node: Node, x: Value, draft: Draft) -> PendingLayer:
    """Make a pending layer with weights of 1 that keeps an activation, so that constants can join.

    For images, this is a depthwise 1x1 convolution; for vectors, a diagonal matrix.

    Raises
    ------
    ExchangeError
        If the value is not an activation, or is padded.
    """
    if isinstance(x, PendingLayer):
        return x
    act = activation_of(x, draft)
    if any(act.padding):
        raise ExchangeError.of("works on a padded image; pad it right before the layer")
    shape = act.tensor.shape
    ones = np.ones((shape[0], 1, 1, 1), dtype=np.int64)
    matrix = np.eye(shape[0], dtype=np.int64)
    structure = detect_structure(matrix) if len(shape) == 1 else None

    def make(name: str, bias: IntArray, requantize: Requantize, output: ActType) -> Requantized:
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
    return replace(make_weighted(node.name, make, act.tensor, scale, offset), places=act.places)
