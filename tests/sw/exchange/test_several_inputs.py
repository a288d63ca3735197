"""ONNX files of several inputs: their channels follow each other in one."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from systolith.exchange import ExchangeError, import_onnx
from systolith.network import SelectChannels, forward
from tests.support.onnx_graphs import GraphBuilder


def _two(path: Path, *, scales: tuple[float, float] = (0.125, 0.125), size: int = 5) -> Path:
    """Convolutions of an image of 3 channels and of one of 1, concatenated."""
    rng = np.random.default_rng(0)
    made = GraphBuilder((3, 5, 5))
    parts = []
    for name, channels, scale in zip(("x", "y"), (3, 1), scales, strict=True):
        weight = made.stored(rng.integers(-9, 9, (4, channels, 3, 3)), 0.0625)
        conv = made.node("Conv", made.linear(name, scale, 0, np.int8), weight)
        parts.append(made.linear(conv, 0.25, 0, np.int8))
    result = made.node("Concat", *parts, axis=1) if size == 5 else parts[0]
    made.save(path, made.linear(result, 0.25, 0, np.int8), *([] if size == 5 else parts[1:]))
    model = onnx.load(path)
    model.graph.input.append(
        helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 1, size, size])
    )
    onnx.save(model, path)
    return path


def test_joined_inputs_equal_onnx_runtime(tmp_path: Path) -> None:
    path = _two(tmp_path / "two.onnx")
    model = import_onnx(path)
    assert model.network.input.shape == (4, 5, 5)
    selected = [layer for layer in model.network.layers if isinstance(layer, SelectChannels)]
    assert [layer.channels for layer in selected] == [(0, 1, 2), (3,)]
    integers = np.random.default_rng(1).integers(-128, 128, (20, 4, 5, 5))
    images = integers.astype(np.float32) * np.float32(0.125)
    (real,) = model.real(forward(model.network, model.quantize_input(images))).values()
    session = onnxruntime.InferenceSession(str(path))
    (wanted,) = session.run(None, {"x": images[:, :3], "y": images[:, 3:]})
    assert np.array_equal(real.astype(np.float32), wanted)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"scales": (0.125, 0.25)}, "'y' has another than 'x'"),
        ({"size": 6}, r"got 'x' \['N', 3, 5, 5\], 'y' \['N', 1, 6, 6\]"),
    ],
)
def test_inputs_that_cannot_be_joined_are_named(
    options: dict[str, object], reason: str, tmp_path: Path
) -> None:
    with pytest.raises(ExchangeError, match=f"must have one input.* 2: 'x', 'y'.*{reason}"):
        import_onnx(_two(tmp_path / "two.onnx", **options))  # type: ignore[arg-type]
