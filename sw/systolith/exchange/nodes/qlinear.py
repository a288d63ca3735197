"""QLinear operators: dequantizers, a float operator and a quantizer in one node."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from systolith.exchange.errors import ExchangeError
from systolith.exchange.file.model_file import Node
from systolith.exchange.layers.draft import Draft
from systolith.exchange.layers.functions import apply_function
from systolith.exchange.layers.operands import activation_of, constant_of
from systolith.exchange.nodes.arithmetic import read_add, read_multiply
from systolith.exchange.nodes.declarations import Handler
from systolith.exchange.nodes.lowered import read_matmul
from systolith.exchange.nodes.moves import join_values, read_concat
from systolith.exchange.nodes.pools import read_average_pool, read_global_average_pool
from systolith.exchange.nodes.quantizers import read_dequantize_linear, read_quantize_linear
from systolith.exchange.nodes.weighted import read_conv, read_gemm
from systolith.exchange.values.value import (
    Absent,
    Constant,
    Integers,
    Joined,
    QuantizedConstant,
    Value,
)

__all__ = [
    "read_q_function",
    "read_q_gemm",
    "read_q_linear_add",
    "read_q_linear_average_pool",
    "read_q_linear_concat",
    "read_q_linear_conv",
    "read_q_linear_global_average_pool",
    "read_q_linear_matmul",
    "read_q_linear_multiply",
]

Operand = tuple[Value, Value, Value, int]
"""(integers, scale, zero point, axis of scale and zero point)."""


def read_q_linear_conv(node: Node, values: Sequence[Value], draft: Draft) -> Value:
    """Read QLinearConv."""
    x, xs, xz, w, ws, wz, ys, yz, bias = values
    return _read_composed(node, draft, read_conv, [(x, xs, xz, 1), (w, ws, wz, 0)], (ys, yz), bias)


def read_q_linear_matmul(node: Node, values: Sequence[Value], draft: Draft) -> Value:
    """Read QLinearMatMul."""
    x, xs, xz, w, ws, wz, ys, yz = values
    return _read_composed(node, draft, read_matmul, [(x, xs, xz, 1), (w, ws, wz, 1)], (ys, yz))


def read_q_gemm(node: Node, values: Sequence[Value], draft: Draft) -> Value:
    """Read ONNX Runtime's QGemm."""
    x, xs, xz, w, ws, wz, bias, ys, yz = values
    if isinstance(ys, Absent):
        raise ExchangeError.of("gives floats; a quantized result is supported: give it y_scale")
    axis = 0 if node.attributes["transB"] else 1
    node = replace(node, attributes={**node.attributes, "beta": 1.0})
    return _read_composed(
        node, draft, read_gemm, [(x, xs, xz, 1), (w, ws, wz, axis)], (ys, yz), bias
    )


def read_q_linear_add(node: Node, values: Sequence[Value], draft: Draft) -> Value:
    """Read ONNX Runtime's QLinearAdd, which adds the zero point before rounding."""
    a, sa, za, b, sb, zb, ys, yz = values
    total = _read_composed(node, draft, read_add, [(a, sa, za, 1), (b, sb, zb, 1)], (ys, yz))
    return replace(total, quantizer=replace(total.quantizer, after_zero_point=True))


def read_q_linear_multiply(node: Node, values: Sequence[Value], draft: Draft) -> Value:
    """Read ONNX Runtime's QLinearMul, which adds the zero point before rounding."""
    a, sa, za, b, sb, zb, ys, yz = values
    operands = [(a, sa, za, 1), (b, sb, zb, 1)]
    product = _read_composed(node, draft, read_multiply, operands, (ys, yz))
    return replace(product, quantizer=replace(product.quantizer, after_zero_point=True))


def read_q_linear_average_pool(node: Node, values: Sequence[Value], draft: Draft) -> Value:
    """Read ONNX Runtime's QLinearAveragePool."""
    x, xs, xz, ys, yz = values
    return _read_composed(node, draft, read_average_pool, [(x, xs, xz, 1)], (ys, yz))


def read_q_linear_global_average_pool(node: Node, values: Sequence[Value], draft: Draft) -> Value:
    """Read ONNX Runtime's QLinearGlobalAveragePool."""
    x, xs, xz, ys, yz = values
    return _read_composed(node, draft, read_global_average_pool, [(x, xs, xz, 1)], (ys, yz))


def read_q_linear_concat(node: Node, values: Sequence[Value], draft: Draft) -> Value:
    """Read ONNX Runtime's QLinearConcat: the result's scale, then three inputs for each part."""
    ys, yz, *rest = values
    if not rest or len(rest) % 3:
        raise ExchangeError.of(f"has {len(values)} inputs; 2, and 3 for each part, are needed")
    parts: list[Operand] = [
        (x, scale, zero, 1)
        for x, scale, zero in zip(rest[::3], rest[1::3], rest[2::3], strict=True)
    ]
    return _read_composed(node, draft, read_concat, parts, (ys, yz))


def read_q_function(op: str) -> Handler:
    """Make a handler of ONNX Runtime's operator on integers that applies a function of each."""

    def read(node: Node, values: Sequence[Value], draft: Draft) -> Value:
        x, xs, xz, ys, yz = values

        def compute(node: Node, values: Sequence[Value], draft: Draft) -> Value:
            return apply_function(replace(node, op=op, domain=""), values, draft)

        return _read_composed(node, draft, compute, [(x, xs, xz, 1)], (ys, yz))

    return read


def _read_composed(
    node: Node,
    draft: Draft,
    compute: Handler,
    inputs: Sequence[Operand],
    output: tuple[Value, Value],
    bias: Value | None = None,
) -> Integers:
    """Read an operator on integers as dequantizers, a float operator and a quantizer."""
    real = [
        read_dequantize_linear(
            replace(node, attributes={"axis": axis}), [value, scale, zero], draft
        )
        for value, scale, zero, axis in inputs
    ]
    if isinstance(bias, Absent):
        real.append(bias)
    elif bias is not None:
        x, w = activation_of(real[0], draft), real[1]
        real[0] = x
        if not isinstance(w, QuantizedConstant):
            raise ExchangeError.of("has weights that the model computes; constants are supported")
        unit = x.scale * w.scale.reshape(-1)
        stored = constant_of(bias, "a bias")
        real.append(Constant(values=np.asarray(stored.reshape(-1) * unit)))
    pending = compute(node, real, draft)
    attributes = {"axis": 1, "output_dtype": 0}
    quantize = replace(node, attributes=attributes)
    parts = pending.parts if isinstance(pending, Joined) else (pending,)
    made = [read_quantize_linear(quantize, [part, *output], draft) for part in parts]
    integers = join_values(node, made, draft)
    assert isinstance(integers, Integers)
    return integers
