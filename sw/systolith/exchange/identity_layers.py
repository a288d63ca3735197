"""Layers that keep values, so that constants can be multiplied with or added to them."""

from dataclasses import replace

import numpy as np

from systolith.exchange.building import Building
from systolith.exchange.errors import ExchangeError
from systolith.exchange.model_file import Node
from systolith.exchange.operands import activation_of
from systolith.exchange.structure import detect
from systolith.exchange.values import Pending, Value
from systolith.exchange.weighted_layers import weighted
from systolith.network import ActType, Conv2d, IntArray, Layer, Linear, Requantize

__all__ = ["affine_of"]


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
