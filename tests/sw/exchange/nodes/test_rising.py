"""Functions that never fall, behind convolutions that are not quantized, count thresholds."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from systolith.exchange import ExchangeError, import_onnx
from systolith.network import Conv2d
from tests.support.onnx_graphs import GraphBuilder, equal_to_runtime


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


def test_functions_that_fall_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ExchangeError, match="without being quantized: put a quantizer"):
        import_onnx(_write(tmp_path / "f.onnx", "Cos", 2.0**-6, 0, np.int8))
    with pytest.raises(ExchangeError, match="without being quantized: put a quantizer"):
        import_onnx(_write(tmp_path / "g.onnx", "Elu", 2.0**-6, 0, np.int8, alpha=-1.0))
