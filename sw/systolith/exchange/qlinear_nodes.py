"""Operators on integers: dequantizers, a float operator and a quantizer in one."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from systolith.exchange.arithmetic_nodes import add
from systolith.exchange.building import Building
from systolith.exchange.errors import ExchangeError
from systolith.exchange.model_file import Node
from systolith.exchange.pool_nodes import average_pool, global_average_pool
from systolith.exchange.quantizer_nodes import dequantize_linear, quantize_linear
from systolith.exchange.values import Activation, Constant, Pending, QuantizedConstant, Value
from systolith.exchange.weighted_nodes import convolve, gemm, matmul

__all__ = [
    "q_gemm",
    "q_linear_add",
    "q_linear_average_pool",
    "q_linear_conv",
    "q_linear_global_average_pool",
    "q_linear_matmul",
]

Handler = Callable[[Node, Sequence[Value], Building], Value]


def q_linear_conv(node: Node, values: Sequence[Value], made: Building) -> Value:
    """QLinearConv."""
    x, xs, xz, w, ws, wz, ys, yz, *bias = values
    return _on_integers(
        node, made, convolve, [(x, xs, xz, None), (w, ws, wz, 0)], (ys, yz), bias, axis=0
    )


def q_linear_matmul(node: Node, values: Sequence[Value], made: Building) -> Value:
    """QLinearMatMul."""
    x, xs, xz, w, ws, wz, ys, yz = values
    return _on_integers(node, made, matmul, [(x, xs, xz, None), (w, ws, wz, 1)], (ys, yz), [])


def q_gemm(node: Node, values: Sequence[Value], made: Building) -> Value:
    """QGemm of ONNX Runtime."""
    if len(values) < 8 or not isinstance(values[7], Constant):
        raise ExchangeError(["gives floats; a quantized result is supported"])
    x, xs, xz, w, ws, wz, bias, ys, *yz = values
    axis = 0 if node.get("transB", 0) else 1
    return _on_integers(
        node, made, gemm, [(x, xs, xz, None), (w, ws, wz, axis)], (ys, *yz), [bias], axis=axis
    )


def q_linear_add(node: Node, values: Sequence[Value], made: Building) -> Value:
    """QLinearAdd of ONNX Runtime."""
    a, sa, za, b, sb, zb, ys, *yz = values
    return _on_integers(node, made, add, [(a, sa, za, None), (b, sb, zb, None)], (ys, *yz), [])


def q_linear_average_pool(node: Node, values: Sequence[Value], made: Building) -> Value:
    """QLinearAveragePool of ONNX Runtime."""
    return _pool_on_integers(node, values, made, average_pool)


def q_linear_global_average_pool(node: Node, values: Sequence[Value], made: Building) -> Value:
    """QLinearGlobalAveragePool of ONNX Runtime."""
    return _pool_on_integers(node, values, made, global_average_pool)


def _pool_on_integers(node: Node, values: Sequence[Value], made: Building, pool: Handler) -> Value:
    if node.get("channels_last", 0):
        raise ExchangeError(["keeps channels last; channels first is supported"])
    x, xs, xz, ys, *yz = values
    return _on_integers(node, made, pool, [(x, xs, xz, None)], (ys, *yz), [])


def _on_integers(
    node: Node,
    made: Building,
    compute: Handler,
    inputs: Sequence[tuple[Value, Value, Value, int | None]],
    output: Sequence[Value],
    bias: Sequence[Value],
    axis: int = 0,
) -> Value:
    """Read an operator on integers as dequantizers, a float operator and a quantizer."""
    real = [
        dequantize_linear(
            replace(node, attributes={} if along is None else {"axis": along}),
            [value, scale, zero],
            made,
        )
        for value, scale, zero, along in inputs
    ]
    if bias and isinstance(bias[0], Constant) and bias[0].values.size:
        x, w = real
        assert isinstance(x, Activation) and isinstance(w, QuantizedConstant)
        unit = x.scale * w.scale.reshape(-1)
        real.append(Constant(values=bias[0].values.astype(np.float64) * unit))
    held = compute(node, real, made)
    assert isinstance(held, Pending)
    return quantize_linear(replace(node, attributes={}), [held, *output], made)
