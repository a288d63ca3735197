"""Layers along one axis, (N, C, L), such as those of radio signals and key words."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from systolith.exchange import ExchangeError, import_onnx
from systolith.network import Flatten
from tests.support.onnx_graphs import GraphBuilder, equal_to_runtime


def _weights(made: GraphBuilder, *shape: int, scale: object = 0.25) -> str:
    return made.stored(np.random.default_rng(0).integers(-9, 10, shape), scale)


def _kernel(made: GraphBuilder, *shape: int) -> list[str]:
    integers = np.random.default_rng(0).integers(-9, 10, shape)
    return [made.const(integers, np.int8), made.const(0.25), made.const(0, np.int8)]


def _saved(made: GraphBuilder, y: str, path: Path, scale: float = 2.0) -> Path:
    return made.save(path, made.linear(y, scale, 128))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"strides": [2], "pads": [2, 1]},
        {"kernel_shape": [3], "auto_pad": "SAME_LOWER", "strides": [2]},
        {"group": 4, "pads": [1, 1], "dilations": [1]},
        {"pads": [3, 1], "dilations": [2]},
    ],
)
def test_convolutions(options: dict[str, Any], tmp_path: Path) -> None:
    made = GraphBuilder((4, 9))
    scale = 2.0 ** -np.arange(1, 5)
    weights = _weights(made, 4, 1 if "group" in options else 4, 3, scale=scale)
    y = made.node("Conv", made.linear("x", 0.125, 100), weights, **options)
    found = equal_to_runtime(_saved(made, y, tmp_path / "conv.onnx"))
    assert found.network.input.shape == (4, 1, 9)


def test_a_network_of_signals(tmp_path: Path) -> None:
    made = GraphBuilder((2, 24))
    y = made.node("Conv", made.linear("x", 0.125, 100), _weights(made, 4, 2, 3), pads=[1, 1])
    rng = np.random.default_rng(1)
    norm = [made.const(2.0 ** rng.integers(-1, 2, 4)), made.const(rng.integers(-3, 4, 4))]
    norm += [made.const(np.zeros(4)), made.const(np.ones(4))]
    y = made.node("Relu", made.node("BatchNormalization", y, *norm, epsilon=0.0))
    y = made.node("MaxPool", made.linear(y, 0.5), kernel_shape=[2], strides=[2])
    y = made.linear(made.node("Conv", y, _weights(made, 3, 4, 3)), 8.0, 128)
    y = made.node("AveragePool", y, kernel_shape=[2], strides=[2])
    y = made.node("Flatten", made.linear(y, 8.0, 128))
    y = made.node("Gemm", y, _weights(made, 15, 5))
    found = equal_to_runtime(_saved(made, y, tmp_path / "net.onnx", 64.0))
    assert any(isinstance(layer, Flatten) for layer in found.network.layers)


@pytest.mark.parametrize("op", ["GlobalAveragePool", "GlobalMaxPool"])
def test_pools_of_the_whole_length(op: str, tmp_path: Path) -> None:
    made = GraphBuilder((3, 8))
    y = made.node(op, made.linear("x", 0.125, 100))
    equal_to_runtime(_saved(made, y, tmp_path / "pool.onnx", 0.25))


def test_operators_on_integers(tmp_path: Path) -> None:
    made = GraphBuilder((2, 9))
    parameters = [made.const(0.125), made.const(100, np.uint8)]
    x = made.node("QuantizeLinear", "x", *parameters)
    bias = made.const([40, -30, 0], np.int32)
    out = [made.const(2.0), made.const(128, np.uint8)]
    y = made.node("QLinearConv", x, *parameters, *_kernel(made, 3, 2, 3), *out, bias)
    equal_to_runtime(made.save(tmp_path / "q.onnx", made.node("DequantizeLinear", y, *out)))


def test_kernels_of_other_axes_are_refused(tmp_path: Path) -> None:
    made = GraphBuilder((4, 5, 5))
    y = made.node("Conv", made.linear("x", 0.125, 100), _weights(made, 3, 4, 3))
    with pytest.raises(ExchangeError, match="is 1-dimensional; two-dimensional ones are supp"):
        import_onnx(_saved(made, y, tmp_path / "rows.onnx"))
