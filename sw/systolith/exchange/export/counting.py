"""Thresholds of an exported network: QONNX's MultiThreshold, or comparisons."""

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from systolith.exchange.export.float_sums import common_factor, computes_exactly
from systolith.exchange.export.graph import Format, OnnxGraph
from systolith.network import Requantized, signed_bits

__all__ = ["count_thresholds"]


def count_thresholds(graph: OnnxGraph, layer: Requantized, result: str) -> str:
    """Write what counts the thresholds that a layer's real sums reach.

    Parameters
    ----------
    graph : OnnxGraph
    layer : Layer
        Which counts thresholds.
    result : str
        Its sums, each step of them as large as a step of its output.

    Returns
    -------
    str
        The tensor of the real results.
    """
    name, output, scale = layer.name, layer.output, float(graph.scales[layer.name])
    least = (_real_thresholds(graph, layer) * scale).astype(np.float32)
    first = output.low - output.zero_point
    if graph.form is Format.QONNX:
        last = output.high - output.zero_point
        return graph.add_qonnx(
            "MultiThreshold",
            [result, graph.add_constant(f"{name}.thresholds", least)],
            f"{name}.counts",
            out_dtype=f"INT{signed_bits(first, last)}" if first < 0 else f"UINT{output.bits}",
            out_scale=scale,
            out_bias=first * scale,
            data_layout="NCHW" if len(graph.network.tensors[name].shape) == 3 else "NC",
        )
    inner = [1] * (len(graph.network.tensors[name].shape) - 1)
    rows = graph.add_constant(f"{name}.thresholds", least.reshape(len(least), *inner, -1))
    axis = graph.add_constant(f"{name}.axis", np.array([-1], np.int64))
    wide = graph.add_node("Unsqueeze", [result, axis], f"{name}.wide")
    reached = graph.add_node("GreaterOrEqual", [wide, rows], f"{name}.reached")
    ones = graph.add_node("Cast", [reached], f"{name}.ones", to=TensorProto.FLOAT)
    count = graph.add_node("ReduceSum", [ones, axis], f"{name}.count", keepdims=0)
    step = graph.add_constant(f"{name}.step", np.array(scale, np.float32))
    counts = graph.add_node("Mul", [count, step], f"{name}.counts")
    origin = graph.add_constant(f"{name}.first", np.array(first * scale, np.float32))
    return graph.add_node("Add", [counts, origin], f"{name}.moved")


def _real_thresholds(graph: OnnxGraph, layer: Requantized) -> NDArray[np.float64]:
    """Give thresholds that float32 tells from the sums beside them, in steps of the sum."""
    thresholds = layer.requantize.thresholds
    assert thresholds is not None
    low, high = layer.accumulator_range(graph.network.inputs_of(layer))
    common = common_factor(layer)
    # A sum is a multiple of the common factor. Any greater one stands for a threshold out of reach.
    least = -(-thresholds // common) * common
    real = np.where(least > high, 2 * high + 1, least.clip(low)).astype(np.float64)
    return real if computes_exactly(graph.network, layer, graph.scales) else real - 0.5
