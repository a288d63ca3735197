"""Windows of Conv, pools and padding: imported, they give what ONNX Runtime gives."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from systolith.network import Conv2d, MaxPool2d
from tests.support.onnx_graphs import GraphBuilder, equal_to_runtime


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
