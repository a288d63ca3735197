"""Nodes that work on integers between a quantizer and a dequantizer, and Cast."""

from collections.abc import Sequence
from dataclasses import replace
from math import inf

import numpy as np
import onnx
from onnx import helper

from systolith.exchange.errors import ExchangeError, NodeError
from systolith.exchange.file.model_file import Node, integer_type
from systolith.exchange.layers.draft import Draft
from systolith.exchange.layers.functions import quantize_function
from systolith.exchange.layers.operands import constant_of
from systolith.exchange.layers.plain import pending_of
from systolith.exchange.layers.rising import count_function
from systolith.exchange.nodes.declarations import Handler
from systolith.exchange.nodes.shapes import crop_input, pads_of, read_pad
from systolith.exchange.values.layouts import pad_input
from systolith.exchange.values.quantizer import Quantizer
from systolith.exchange.values.value import (
    Absent,
    Constant,
    Integers,
    ModelInput,
    Parts,
    PendingFunction,
    PendingLayer,
    PendingTable,
    QuantizedActivation,
    Value,
)
from systolith.network import NetworkError

__all__ = [
    "keep_integers",
    "quantize_integers",
    "quantize_value",
    "read_cast",
    "read_cast_like",
    "read_pad_integers",
]


def quantize_value(
    node: Node,
    x: ModelInput | QuantizedActivation | PendingLayer | PendingTable | PendingFunction,
    quantizer: Quantizer,
    draft: Draft,
) -> ModelInput | QuantizedActivation:
    """Quantize a real value; an activation that does not change is kept."""
    if isinstance(x, PendingTable):
        return quantize_function(x, quantizer, draft)
    if isinstance(x, PendingFunction):
        return count_function(x, quantizer, draft)
    if isinstance(x, ModelInput) and x.quantizer is None:
        return replace(x, quantizer=quantizer)
    if isinstance(x, ModelInput):
        x = draft.read_input(x)
    if isinstance(x, QuantizedActivation) and _changes_nothing(x, quantizer):
        return x
    return draft.quantize_once(x, quantizer, pending_of(node, x, draft))


def _changes_nothing(x: QuantizedActivation, quantizer: Quantizer) -> bool:
    """Whether a quantizer keeps all values of an activation."""
    act = x.tensor.type
    return (
        x.scale == quantizer.scale
        and not x.origin
        and act.zero_point == quantizer.type.zero_point
        and quantizer.low <= act.low
        and act.high <= quantizer.high
    )


def quantize_integers(node: Node, x: Integers, draft: Draft) -> ModelInput | QuantizedActivation:
    """Give the quantized value that integers stand for.

    Raises
    ------
    NodeError
        If it cannot be quantized; it names the node that quantizes.
    """
    if isinstance(x.of, ModelInput) and x.of.integer is not None:
        return replace(x.of, quantizer=x.quantizer)
    try:
        return quantize_value(node, x.of, x.quantizer, draft)
    except NetworkError as error:
        raise NodeError(x.node, error.problems) from error


def keep_integers(run: Handler) -> Handler:
    """Let a handler that keeps or moves real values also read integers."""

    def handler(node: Node, values: Sequence[Value], draft: Draft) -> Value:
        x = values[0]
        assert isinstance(x, Integers)
        stored = isinstance(x.of, ModelInput) and x.of.integer is not None
        real = x.of if stored else quantize_integers(node, x, draft)
        result = run(node, [real, *values[1:]], draft)
        if isinstance(result, Parts):
            return Parts(values=tuple(_integers_of(x, part) for part in result.values))
        return _integers_of(x, result)

    return handler


def _integers_of(x: Integers, result: Value) -> Integers:
    """Give moved values as integers of the same quantizer."""
    assert isinstance(result, ModelInput | QuantizedActivation)
    if isinstance(result, ModelInput):
        result = replace(result, quantizer=None)
    return replace(x, of=result)


def read_pad_integers(node: Node, values: Sequence[Value], draft: Draft) -> Value:
    """Read Pad of integers, where the zero point stands for zero."""
    x, fill = values[0], 0
    assert isinstance(x, Integers)
    if node.attributes["mode"] == "edge":
        return keep_integers(read_pad)(node, values, draft)
    if not isinstance(values[2], Absent):
        fill = int(constant_of(values[2], "fill values").reshape(-1)[0])
    zero = x.quantizer.type.zero_point
    real = (fill - zero) * x.quantizer.scale
    given: Value = Absent() if fill == zero else Constant(values=np.asarray(real, np.float32))
    plain = [values[0], values[1], given, *values[3:]]
    if isinstance(x.of, ModelInput) and (x.of.integer is not None or fill != zero):
        pads = pads_of(node, plain, x.of.places.ndim)
        cropped, pads = crop_input(x.of, pads)
        return replace(x, of=pad_input(cropped, pads, real) if any(map(any, pads)) else cropped)
    return keep_integers(read_pad)(node, plain, draft)


def read_cast(node: Node, values: Sequence[Value], draft: Draft) -> Value:
    """Read a Cast that changes no value."""
    x, wanted = values[0], int(node.attributes["to"])
    name = onnx.TensorProto.DataType.Name(wanted)
    if not isinstance(x, Integers):
        if wanted in (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE):
            return x
        raise ExchangeError.of(f"makes {name} of reals; FLOAT is supported: use QuantizeLinear")
    low, high = x.quantizer.low, x.quantizer.high
    if wanted in (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE):
        return _as_reals(node, x, draft)
    dtype = helper.tensor_dtype_to_np_dtype(wanted)
    act = integer_type(dtype)
    if name in ("INT32", "INT64") or (act is not None and act.low <= low and high <= act.high):
        return x
    raise ExchangeError.of(f"makes {name} of integers {low}..{high}, which do not fit")


def read_cast_like(node: Node, values: Sequence[Value], draft: Draft) -> Value:
    """Read CastLike to real numbers, which torch writes for bounds of activations."""
    x, like = values
    if isinstance(like, Integers | Constant):
        raise ExchangeError.of("takes the type of constants or integers; use a Cast to that type")
    if isinstance(x, Constant):
        return Constant(values=x.values.astype(np.float32))
    return read_cast(replace(node, attributes={"to": onnx.TensorProto.FLOAT}), [x], draft)


def _as_reals(node: Node, x: Integers, draft: Draft) -> Value:
    """Read integers as real numbers of the same value."""
    if isinstance(x.of, ModelInput) and x.of.integer is not None:
        if x.quantizer.bounds != (-inf, inf):
            raise ExchangeError.of("makes reals of integers that were cut off; cast them first")
        return replace(x.of, integer=None)
    if zero := x.quantizer.type.zero_point:
        raise ExchangeError.of(
            f"makes reals of integers with zero point {zero}; use DequantizeLinear"
        )
    act = quantize_integers(node, x, draft)
    act = draft.read_input(act) if isinstance(act, ModelInput) else act
    return replace(act, scale=1.0)
