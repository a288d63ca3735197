"""MultiThreshold, which FINN writes instead of a quantizer: how many thresholds a value reaches."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from systolith.exchange.arithmetic_nodes import subtract
from systolith.exchange.bipolar import signs_of
from systolith.exchange.building import Building
from systolith.exchange.errors import ExchangeError
from systolith.exchange.integer_nodes import quantized
from systolith.exchange.layouts import shape_of
from systolith.exchange.model_file import Node
from systolith.exchange.operands import constant_of, is_constant
from systolith.exchange.quantizer import FloatArray, Quantizer
from systolith.exchange.values import Activation, Constant, Images, Pending, Value
from systolith.network import ActType

__all__ = ["multi_threshold"]

MOST = 255
"""Thresholds of one value, so that counts have 8 bits."""


def multi_threshold(node: Node, values: Sequence[Value], made: Building) -> Value:
    """MultiThreshold of FINN and QONNX, whose thresholds are the steps of a quantizer.

    Counts q of thresholds stand for ``out_scale * q + out_bias``.
    """
    x = values[0]
    if is_constant(x):
        raise ExchangeError(["counts the thresholds that constants reach; fold it"])
    first, step, count = _steps(constant_of(values[1], "thresholds"))
    scale, bias = (float(node.attributes[name]) for name in ("out_scale", "out_bias"))
    if not (np.isfinite([scale, bias]).all() and scale > 0):
        raise ExchangeError(
            [f"has out_scale {scale:g} and out_bias {bias:g}; positive scales are supported"]
        )
    # What counts of 0 stand for is a zero point, where the counts reach it.
    zero = -bias / scale if count > 1 else 1
    zero = int(zero) if zero == np.rint(zero) and 0 <= zero <= count else 1
    moved = first - (1 - zero) * step
    if moved.any():
        x = subtract(node, [x, Constant(values=_along_channels(node, moved, x))], made)
    if count == 1:
        found = signs_of(node, x, 1.0, made)
    else:
        act = ActType(bits=count.bit_length(), signed=False, zero_point=zero)
        quantizer = Quantizer(scale=step, type=act, rounding="FLOOR", bounds=(0, count))
        assert isinstance(x, Images | Activation | Pending)
        result = quantized(node, x, quantizer, made)
        found = made.take(result) if isinstance(result, Images) else result
    return replace(found, scale=scale, origin=scale * zero + bias, counts=True)


def _steps(thresholds: FloatArray) -> tuple[FloatArray, float, int]:
    """The first threshold of each channel, the step between two, and how many there are."""
    if thresholds.ndim != 2 or not 1 <= thresholds.shape[1] <= MOST:
        raise ExchangeError(
            [(f"has thresholds of shape {thresholds.shape}; (channels, 1 to {MOST}) is supported")]
        )
    steps = np.diff(thresholds, axis=1)
    step = float(steps.flat[0]) if steps.size else 1.0
    if (steps != step).any() or step <= 0:
        raise ExchangeError(
            [
                (
                    "has thresholds that are not evenly spaced, or differently by channel; import "
                    "the file from before its streamlining, with Quant nodes"
                )
            ]
        )
    return thresholds[:, 0], step, thresholds.shape[1]


def _along_channels(node: Node, values: FloatArray, x: Value) -> FloatArray:
    """One number for all, or for each channel."""
    if (values == values[0]).all():
        return values[:1]
    shape = shape_of(x)
    assert shape is not None
    last = str(node.attributes["data_layout"]).endswith("C") and len(shape) > 1
    return values if last else values.reshape(-1, *[1] * (len(shape) - 1))
