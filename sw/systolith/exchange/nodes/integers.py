"""Nodes that work on the integers between a quantizer and what dequantizes them."""

from collections.abc import Sequence
from dataclasses import replace
from math import inf

import numpy as np
import onnx
from onnx import helper

from systolith.exchange.errors import ExchangeError, NodeError
from systolith.exchange.file.model_file import Node, integer_type
from systolith.exchange.layers.draft import Building
from systolith.exchange.layers.operands import constant_of
from systolith.exchange.layers.plain import pending_of
from systolith.exchange.nodes.declarations import Handler
from systolith.exchange.nodes.shapes import pad, pads_of
from systolith.exchange.values.layouts import padded_images
from systolith.exchange.values.quantizer import Quantizer
from systolith.exchange.values.value import (
    Absent,
    Activation,
    Constant,
    Images,
    Integers,
    Pending,
    Value,
)
from systolith.network import NetworkError

__all__ = ["cast", "cast_like", "keeping_integers", "pad_integers", "quantized", "represented"]


def quantized(
    node: Node, x: Images | Activation | Pending, quantizer: Quantizer, made: Building
) -> Images | Activation:
    """Quantize what is real; what that does not change stays."""
    if isinstance(x, Images) and x.quantizer is None:
        return replace(x, quantizer=quantizer)
    if isinstance(x, Images):
        x = made.take(x)
    if isinstance(x, Activation) and _changes_nothing(x, quantizer):
        return x
    return made.quantized(x, quantizer, pending_of(node, x, made))


def _changes_nothing(x: Activation, quantizer: Quantizer) -> bool:
    """Whether all of an activation's values stay as they are."""
    act = x.tensor.type
    return (
        x.scale == quantizer.scale
        and not x.origin
        and act.zero_point == quantizer.type.zero_point
        and quantizer.low <= act.low
        and act.high <= quantizer.high
    )


def represented(node: Node, x: Integers, made: Building) -> Images | Activation:
    """What integers stand for, once they are quantized.

    Raises
    ------
    NodeError
        About the node that quantizes, if that cannot be.
    """
    if isinstance(x.of, Images) and x.of.integer is not None:
        return replace(x.of, quantizer=x.quantizer)
    try:
        return quantized(node, x.of, x.quantizer, made)
    except NetworkError as error:
        raise NodeError(x.node, error.problems) from error


def keeping_integers(run: Handler) -> Handler:
    """Let a handler for reals that keeps or moves values do so with integers."""

    def handler(node: Node, values: Sequence[Value], made: Building) -> Value:
        x = values[0]
        assert isinstance(x, Integers)
        stored = isinstance(x.of, Images) and x.of.integer is not None
        real = x.of if stored else represented(node, x, made)
        result = run(node, [real, *values[1:]], made)
        assert isinstance(result, Images | Activation)
        if isinstance(result, Images):
            result = replace(result, quantizer=None)
        return replace(x, of=result)

    return handler


def pad_integers(node: Node, values: Sequence[Value], made: Building) -> Value:
    """Pad of integers: the zero point is what stands for zero."""
    x, fill = values[0], 0
    assert isinstance(x, Integers)
    if not isinstance(values[2], Absent):
        fill = int(constant_of(values[2], "fill values").reshape(-1)[0])
    zero = x.quantizer.type.zero_point
    plain = [values[0], values[1], Absent(), *values[3:]]
    if isinstance(x.of, Images) and (x.of.integer is not None or fill != zero):
        pads = pads_of(node, plain, x.of.places.ndim)
        return replace(x, of=padded_images(x.of, pads, (fill - zero) * x.quantizer.scale))
    if fill != zero:
        real = (fill - zero) * x.quantizer.scale
        raise ExchangeError(
            [
                (
                    f"pads integers with {fill}, which stands for {real:g} where the zero point is "
                    f"{zero}; padding with the zero point is supported"
                )
            ]
        )
    return keeping_integers(pad)(node, plain, made)


def cast(node: Node, values: Sequence[Value], made: Building) -> Value:
    """Cast to the type that is there, or to one that changes no value."""
    x, wanted = values[0], int(node.attributes["to"])
    name = onnx.TensorProto.DataType.Name(wanted)
    if not isinstance(x, Integers):
        if wanted in (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE):
            return x
        raise ExchangeError([f"makes {name} of reals; FLOAT is supported: use QuantizeLinear"])
    low, high = x.quantizer.low, x.quantizer.high
    if wanted in (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE):
        return _as_reals(node, x, made)
    dtype = helper.tensor_dtype_to_np_dtype(wanted)
    act = integer_type(dtype)
    if name in ("INT32", "INT64") or (act is not None and act.low <= low and high <= act.high):
        return x
    raise ExchangeError([f"makes {name} of integers {low}..{high}, which do not fit"])


def cast_like(node: Node, values: Sequence[Value], made: Building) -> Value:
    """CastLike: to reals, as which torch writes bounds of activations."""
    x, like = values
    if isinstance(like, Integers | Constant):
        raise ExchangeError(["takes the type of constants or integers; use a Cast to that type"])
    if isinstance(x, Constant):
        return Constant(values=x.values.astype(np.float32))
    return cast(replace(node, attributes={"to": onnx.TensorProto.FLOAT}), [x], made)


def _as_reals(node: Node, x: Integers, made: Building) -> Value:
    """Integers as the real numbers that they are."""
    if isinstance(x.of, Images) and x.of.integer is not None:
        if x.quantizer.bounds != (-inf, inf):
            raise ExchangeError(["makes reals of integers that were cut off; cast them first"])
        return replace(x.of, integer=None)
    if zero := x.quantizer.type.zero_point:
        raise ExchangeError(
            [f"makes reals of integers with zero point {zero}; use DequantizeLinear"]
        )
    found = represented(node, x, made)
    act = made.take(found) if isinstance(found, Images) else found
    return replace(act, scale=1.0)
