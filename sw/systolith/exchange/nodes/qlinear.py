"""Operators on integers: dequantizers, a float operator and a quantizer in one."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from systolith.exchange.errors import ExchangeError
from systolith.exchange.file.model_file import Node
from systolith.exchange.layers.draft import Building
from systolith.exchange.layers.operands import activation_of, constant_of
from systolith.exchange.nodes.arithmetic import add
from systolith.exchange.nodes.declarations import Handler
from systolith.exchange.nodes.pools import average_pool, global_average_pool
from systolith.exchange.nodes.quantizers import dequantize_linear, quantize_linear
from systolith.exchange.nodes.weighted import convolve, gemm, matmul
from systolith.exchange.values.value import (
    Absent,
    Constant,
    Integers,
    QuantizedConstant,
    Value,
)

__all__ = [
    "q_gemm",
    "q_linear_add",
    "q_linear_average_pool",
    "q_linear_conv",
    "q_linear_global_average_pool",
    "q_linear_matmul",
]

Operand = tuple[Value, Value, Value, int]
"""Integers, their scale, their zero point, the axis of these."""


def q_linear_conv(node: Node, values: Sequence[Value], made: Building) -> Value:
    """QLinearConv."""
    x, xs, xz, w, ws, wz, ys, yz, bias = values
    return _on_integers(node, made, convolve, [(x, xs, xz, 1), (w, ws, wz, 0)], (ys, yz), bias)


def q_linear_matmul(node: Node, values: Sequence[Value], made: Building) -> Value:
    """QLinearMatMul."""
    x, xs, xz, w, ws, wz, ys, yz = values
    return _on_integers(node, made, matmul, [(x, xs, xz, 1), (w, ws, wz, 1)], (ys, yz))


def q_gemm(node: Node, values: Sequence[Value], made: Building) -> Value:
    """QGemm of ONNX Runtime."""
    x, xs, xz, w, ws, wz, bias, ys, yz = values
    if isinstance(ys, Absent):
        raise ExchangeError(["gives floats; a quantized result is supported: give it y_scale"])
    axis = 0 if node.attributes["transB"] else 1
    node = replace(node, attributes={**node.attributes, "beta": 1.0})
    return _on_integers(node, made, gemm, [(x, xs, xz, 1), (w, ws, wz, axis)], (ys, yz), bias)


def q_linear_add(node: Node, values: Sequence[Value], made: Building) -> Value:
    """QLinearAdd of ONNX Runtime, which adds the zero point before it rounds."""
    a, sa, za, b, sb, zb, ys, yz = values
    found = _on_integers(node, made, add, [(a, sa, za, 1), (b, sb, zb, 1)], (ys, yz))
    return replace(found, quantizer=replace(found.quantizer, after_zero_point=True))


def q_linear_average_pool(node: Node, values: Sequence[Value], made: Building) -> Value:
    """QLinearAveragePool of ONNX Runtime."""
    x, xs, xz, ys, yz = values
    return _on_integers(node, made, average_pool, [(x, xs, xz, 1)], (ys, yz))


def q_linear_global_average_pool(node: Node, values: Sequence[Value], made: Building) -> Value:
    """QLinearGlobalAveragePool of ONNX Runtime."""
    x, xs, xz, ys, yz = values
    return _on_integers(node, made, global_average_pool, [(x, xs, xz, 1)], (ys, yz))


def _on_integers(
    node: Node,
    made: Building,
    compute: Handler,
    inputs: Sequence[Operand],
    output: tuple[Value, Value],
    bias: Value | None = None,
) -> Integers:
    """Read an operator on integers as dequantizers, a float operator and a quantizer."""
    real = [
        dequantize_linear(replace(node, attributes={"axis": axis}), [value, scale, zero], made)
        for value, scale, zero, axis in inputs
    ]
    if isinstance(bias, Absent):
        real.append(bias)
    elif bias is not None:
        x, w = activation_of(real[0], made), real[1]
        real[0] = x
        if not isinstance(w, QuantizedConstant):
            raise ExchangeError(["has weights that the model computes; constants are supported"])
        unit = x.scale * w.scale.reshape(-1)
        integers = constant_of(bias, "a bias")
        real.append(Constant(values=np.asarray(integers.reshape(-1) * unit)))
    held = compute(node, real, made)
    attributes = {"axis": 1, "output_dtype": 0}
    found = quantize_linear(replace(node, attributes=attributes), [held, *output], made)
    assert isinstance(found, Integers)
    return found
