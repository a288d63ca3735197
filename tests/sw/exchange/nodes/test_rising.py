"""Functions that never fall, behind convolutions that are not quantized, count thresholds."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from systolith.exchange import ExchangeError, import_onnx
from systolith.network import Conv2d, forward
from tests.support.onnx_graphs import GraphBuilder, equal_to_runtime, run_runtime


def _write(
    path: Path, op: str, scale: float, zero: int, dtype: Any = np.uint8, **options: Any
) -> Path:
    made, rng = GraphBuilder((3, 5, 5)), np.random.default_rng(0)
    weights = made.stored(rng.integers(-40, 41, (4, 3, 3, 3)), 2.0**-7)
    bias = made.const(rng.integers(-99, 99, 4) * 2.0**-10)
    y = made.node("Conv", made.linear("x", 0.125, 100), weights, bias)
    y = made.linear(made.node(op, y, **options), scale, zero, dtype)
    y = made.node("MaxPool", y, kernel_shape=[1, 1])
    return made.save(path, y)


@pytest.mark.parametrize(
    ("op", "scale", "zero", "dtype", "options"),
    [
        ("Sigmoid", 2.0**-8, 0, np.uint8, {}),
        ("Sigmoid", 2.0**-8, -128, np.int8, {}),
        ("Tanh", 2.0**-6, 3, np.int8, {}),
        ("HardSigmoid", 2.0**-8, 0, np.uint8, {"alpha": 0.25}),
        ("Elu", 2.0**-5, 20, np.uint8, {"alpha": 0.5}),
    ],
)
def test_every_value_is_that_of_the_runtime(
    op: str, scale: float, zero: int, dtype: Any, options: dict[str, Any], tmp_path: Path
) -> None:
    found = equal_to_runtime(_write(tmp_path / "f.onnx", op, scale, zero, dtype, **options))
    conv = found.network.layers[0]
    assert isinstance(conv, Conv2d) and conv.requantize.levels or op == "HardSigmoid"


def test_channels_that_a_clip_keeps_at_its_bound(tmp_path: Path) -> None:
    made = GraphBuilder((1, 2, 2))
    weights = made.stored(np.array([90, 90, 0]).reshape(3, 1, 1, 1), 2.0**-7)
    y = made.node("Conv", made.linear("x", 0.125, 100), weights, made.const([1.0, -99.0, 3.0]))
    y = made.node("Softplus", made.node("Relu", y))
    y = made.node("MaxPool", made.linear(y, 2.0**-5), kernel_shape=[1, 1])
    equal_to_runtime(made.save(tmp_path / "f.onnx", y))


def test_integers_at_the_end_are_those_of_the_file(tmp_path: Path) -> None:
    made, rng = GraphBuilder((2, 3, 3)), np.random.default_rng(0)
    weights = made.stored(rng.integers(-40, 41, (2, 2, 2, 2)), 2.0**-6)
    y = made.node("Tanh", made.node("Conv", made.linear("x", 0.125, 100), weights))
    y = made.node("QuantizeLinear", y, made.const(2.0**-7), made.const(5, np.int8))
    path = made.save(tmp_path / "f.onnx", y)
    model = onnx.load(path)
    model.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.INT8
    onnx.save(model, path)
    found = import_onnx(path)
    images = rng.normal(0, 4, (8, 2, 3, 3)).astype(np.float32)
    (integers,) = forward(found.network, found.quantize_input(images)).values()
    assert np.array_equal(integers, run_runtime(path, images))


def test_functions_that_fall_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ExchangeError, match="without being quantized: put a quantizer"):
        import_onnx(_write(tmp_path / "f.onnx", "Cos", 2.0**-6, 0, np.int8))
    with pytest.raises(ExchangeError, match="without being quantized: put a quantizer"):
        import_onnx(_write(tmp_path / "g.onnx", "Elu", 2.0**-6, 0, np.int8, alpha=-1.0))
