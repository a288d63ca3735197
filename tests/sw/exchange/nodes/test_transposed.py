"""ConvTranspose: imported, it gives what ONNX Runtime gives."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from systolith.exchange import ExchangeError, Format, export_onnx, import_onnx
from systolith.network import Conv2d, DepthToSpace, forward
from tests.support.onnx_graphs import GraphBuilder, equal_to_runtime
from tests.support.random_networks import random_images


@pytest.mark.parametrize(
    "options",
    [
        {"strides": [2, 2], "kernel": (2, 2)},
        {"strides": [2, 2], "kernel": (4, 4), "pads": [1, 1, 1, 1]},
        {"strides": [2, 2], "kernel": (3, 3), "pads": [1, 1, 1, 1], "output_padding": [1, 1]},
        {"strides": [2, 2], "kernel": (3, 5), "pads": [0, 2, 2, 1], "group": 2},
        {"strides": [3, 3], "kernel": (4, 2), "pads": [3, 0, 1, 0], "group": 4},
        {"kernel": (3, 3), "pads": [1, 0, 3, 1]},
        {"strides": [1, 2], "kernel": (3, 4), "pads": [1, 1, 0, 1], "group": 2},
        {"strides": [3, 2], "kernel": (4, 3), "pads": [1, 1, 1, 1], "output_padding": [1, 0]},
    ],
)
def test_phases(options: dict[str, Any], tmp_path: Path) -> None:
    options = dict(options)
    kernel, group = options.pop("kernel"), options.get("group", 1)
    made, rng = GraphBuilder((4, 4, 5)), np.random.default_rng(0)
    weights = made.stored(rng.integers(-9, 10, (4, 4 // group, *kernel)), 0.25)
    bias = made.const(rng.integers(-8, 8, 4) * 0.5)
    y = made.node("ConvTranspose", made.linear("x", 0.125, 100), weights, bias, **options)
    y = made.node("Relu", y)
    found = equal_to_runtime(made.save(tmp_path / "up.onnx", made.linear(y, 2.0)))
    conv = found.network.layers[0]
    strides = options.get("strides", [1, 1])
    assert isinstance(conv, Conv2d)
    assert conv.weight.shape[2:] == tuple(
        -(-size // stride) for size, stride in zip(kernel, strides, strict=True)
    )


@pytest.mark.parametrize("form", [Format.QDQ, Format.QONNX])
@pytest.mark.parametrize(
    "options",
    [
        {"strides": [2], "kernel": 4, "pads": [1, 1]},
        {"strides": [3], "kernel": 2, "pads": [0, 1], "output_padding": [1], "group": 2},
        {"kernel": 3, "pads": [1, 2]},
    ],
)
def test_sequences(options: dict[str, Any], form: Format, tmp_path: Path) -> None:
    """Phases of sequences are columns; exported, they are still columns."""
    options = dict(options)
    kernel, group = options.pop("kernel"), options.get("group", 1)
    made, rng = GraphBuilder((4, 5)), np.random.default_rng(0)
    weights = made.stored(rng.integers(-9, 10, (4, 6 // group, kernel)), 0.25)
    y = made.node("ConvTranspose", made.linear("x", 0.125, 100), weights, **options)
    found = equal_to_runtime(made.save(tmp_path / "up.onnx", made.linear(y, 2.0)))
    network, stride = found.network, options.get("strides", [1])[0]
    blocks = [layer.sides for layer in network.layers if isinstance(layer, DepthToSpace)]
    assert blocks == ([(1, stride)] if stride > 1 else [])
    export_onnx(network, tmp_path / "again.onnx", form)
    again = import_onnx(tmp_path / "again.onnx")
    images = random_images(network, 4, 0)
    (expected,) = forward(network, images).values()
    (got,) = forward(again.network, images).values()
    assert np.array_equal(got, expected)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"strides": [2]}, r"has strides \[2\]; two positive strides are supported"),
        ({"dilations": [2, 2]}, "is dilated by .*; dilations of 1 are supported"),
        ({"auto_pad": "SAME_UPPER"}, "pads automatically"),
    ],
)
def test_others_are_refused(options: dict[str, Any], reason: str, tmp_path: Path) -> None:
    made = GraphBuilder((4, 4, 5))
    weights = made.stored(np.ones((4, 2, 3, 3), dtype=np.int64), 0.25)
    y = made.node("ConvTranspose", made.linear("x", 0.125, 100), weights, **options)
    with pytest.raises(ExchangeError, match=reason):
        import_onnx(made.save(tmp_path / "up.onnx", made.linear(y, 2.0)))
