"""Windows of Conv, pools and padding: imported, they give what ONNX Runtime gives."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from systolith.exchange import Format, export_onnx, import_onnx
from systolith.network import (
    ActType,
    AvgPool2d,
    Conv2d,
    IntegerNetwork,
    MaxPool2d,
    Padding,
    Requantize,
    Tensor,
    forward,
)
from tests.support.onnx_graphs import GraphBuilder, equal_to_runtime, run_runtime


@pytest.mark.parametrize(
    "options",
    [
        {"dilations": [2, 1], "pads": [3, 1, 4, 2]},
        {"dilations": [1, 3], "strides": [2, 2], "auto_pad": "VALID"},
        {"dilations": [2, 2], "pads": [4, 0, 0, 4], "group": 2},
        {"dilations": [3, 2], "group": 4},
    ],
)
def test_dilated_convolutions(options: dict[str, Any], tmp_path: Path) -> None:
    made = GraphBuilder((4, 9, 8))
    group = options.get("group", 1)
    weights = np.random.default_rng(0).integers(-9, 10, (4, 4 // group, 3, 3))
    y = made.node("Conv", made.linear("x", 0.125, 100), made.stored(weights, 0.25), **options)
    found = equal_to_runtime(made.save(tmp_path / "conv.onnx", made.linear(y, 2.0, 128)))
    (conv,) = found.network.layers
    assert isinstance(conv, Conv2d) and list(conv.dilation) == options["dilations"]


def test_a_dilated_max_pool(tmp_path: Path) -> None:
    made = GraphBuilder((3, 9, 8))
    how = {"kernel_shape": [2, 3], "dilations": [3, 2], "strides": [1, 2], "pads": [1, 1, 0, 1]}
    y = made.node("MaxPool", made.linear("x", 0.125, 100), **how)
    found = equal_to_runtime(made.save(tmp_path / "pool.onnx", y))
    (pool,) = found.network.layers
    assert isinstance(pool, MaxPool2d) and pool.dilation == (3, 2)


AVERAGES: list[dict[str, Any]] = [
    {"kernel_shape": [2, 2], "pads": [1, 1, 1, 1]},
    {"kernel_shape": [4, 2], "pads": [1, 0, 2, 1], "strides": [2, 1], "ceil_mode": 1},
    {"kernel_shape": [2, 1], "strides": [2, 2], "ceil_mode": 1},
    {"kernel_shape": [2, 4], "strides": [1, 3], "auto_pad": "SAME_UPPER"},
]


@pytest.mark.parametrize("include", [0, 1])
@pytest.mark.parametrize("options", AVERAGES)
def test_averages(options: dict[str, Any], include: int, tmp_path: Path) -> None:
    made = GraphBuilder((3, 5, 6))
    y = made.node("AveragePool", made.linear("x", 0.125, 100), count_include_pad=include, **options)
    path = made.save(tmp_path / "pool.onnx", made.linear(y, 0.1003, 100))
    found = import_onnx(path)
    images = np.random.default_rng(1).integers(-90, 90, (16, 3, 5, 6)).astype(np.float32) / 8
    (ours,) = found.real(forward(found.network, found.quantize_input(images))).values()
    theirs = run_runtime(path, images)
    assert ours.shape == theirs.shape
    assert np.array_equal(np.rint(ours / 0.1003), np.rint(theirs / 0.1003))


@pytest.mark.parametrize("form", list(Format))
@pytest.mark.parametrize("counted", [None, (0, 0, 0, 0), (1, 0, 0, 1)])
def test_averages_come_back(form: Format, counted: Padding | None, tmp_path: Path) -> None:
    act = ActType(bits=8, signed=True)
    pool = AvgPool2d(
        name="pool",
        input="input",
        kernel_size=(2, 3),
        stride=(2, 1),
        padding=(1, 0, 1, 2),
        counted=counted,
        requantize=Requantize(multiplier=np.array([3]), shift=np.array([5])),
        output=act,
    )
    network = IntegerNetwork(input=Tensor((2, 5, 6), act), layers=(pool,))
    path = tmp_path / "pool.onnx"
    export_onnx(network, path, form)
    found = import_onnx(path).network
    images = np.random.default_rng(0).integers(-128, 128, (8, 2, 5, 6))
    back, given = forward(found, images), forward(network, images)
    assert np.array_equal(*(next(iter(outputs.values())) for outputs in (back, given)))
    (layer,) = found.layers
    assert isinstance(layer, AvgPool2d)
    assert (layer.padding, layer.counted) == (pool.padding, counted)


@pytest.mark.parametrize("pads", [[0, 0, 0, 0], [1, 0, 1, 1]])
def test_ceil_mode_of_a_max_pool(pads: list[int], tmp_path: Path) -> None:
    made = GraphBuilder((3, 7, 8))
    how = {"kernel_shape": [2, 3], "strides": [3, 2], "ceil_mode": 1, "pads": pads}
    y = made.node("MaxPool", made.linear("x", 0.125, 100), **how)
    equal_to_runtime(made.save(tmp_path / "pool.onnx", y))
