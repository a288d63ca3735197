"""ONNX's own quantizers and integer operators, beside ONNX Runtime."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)
from torch import Tensor, nn

from systolith.exchange import import_onnx
from systolith.network import Conv2d, Rounding, forward
from tests.support.onnx_graphs import GraphBuilder, run_runtime

Floats = NDArray[np.float32]


class Small(nn.Module):
    """Everything that ONNX Runtime has integer operators for."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.second = nn.Conv2d(8, 8, 3, padding=1)
        self.depthwise = nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=8)
        self.linear = nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.first(x)))
        x = nn.functional.max_pool2d(torch.relu(self.second(x) + x), 2)
        x = torch.relu(self.depthwise(x))
        logits: Tensor = self.linear(x.mean((2, 3)))
        return logits


class Reader(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, images: Floats) -> None:
        self.images: Iterator[Floats] = iter(images[:, None])

    def get_next(self) -> dict[str, Floats] | None:
        image = next(self.images, None)
        return None if image is None else {"x": image}


IMAGES = np.random.default_rng(0).standard_normal((100, 3, 12, 12)).astype(np.float32)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("float") / "float.onnx"
    torch.onnx.export(
        Small().eval(),
        (torch.from_numpy(IMAGES[:1]),),
        str(path),
        dynamo=False,
        opset_version=17,
        input_names=["x"],
        dynamic_axes={"x": {0: "n"}},
    )
    return path


@pytest.mark.parametrize("form", list(QuantFormat), ids=lambda form: form.name)
@pytest.mark.parametrize(
    ("acts", "weights", "per_channel"),
    [
        (QuantType.QUInt8, QuantType.QInt8, True),
        (QuantType.QInt8, QuantType.QInt8, False),
        (QuantType.QUInt8, QuantType.QUInt8, False),
    ],
    ids=["u8s8", "s8s8", "u8u8"],
)
def test_static_quantization(
    form: QuantFormat,
    acts: QuantType,
    weights: QuantType,
    per_channel: bool,
    exported: Path,
    tmp_path: Path,
) -> None:
    path = tmp_path / "quantized.onnx"
    quantize_static(
        str(exported),
        str(path),
        Reader(IMAGES[:30]),
        quant_format=form,
        per_channel=per_channel,
        activation_type=acts,
        weight_type=weights,
    )
    imported = import_onnx(path)
    assert max(imported.units.values()) < 0.02
    (name,) = imported.network.outputs
    ours = imported.real(forward(imported.network, imported.quantize_input(IMAGES)))[name]
    for optimized in (False, True):
        theirs = run_runtime(path, IMAGES, optimized=optimized)
        units = np.rint(np.abs(ours - theirs) / imported.scales[name])
        # Scales have 16 bits here and 24 there: what lies next to a half may round otherwise.
        assert units.max() <= 1 and np.mean(units > 0) < 0.02
        assert np.array_equal(ours.argmax(1), theirs.argmax(1))


@pytest.mark.parametrize("seed", range(12))
def test_powers_of_two_are_exact(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    made = GraphBuilder((3, 6, 6))

    def stored(shape: tuple[int, ...]) -> str:
        unsigned = bool(rng.integers(2))
        low, high, dtype = (0, 256, np.uint8) if unsigned else (-128, 128, np.int8)
        scale = np.exp2(rng.integers(-6, -2, shape[0])).astype(np.float32)
        zero = rng.integers(100, 150) if unsigned else 0
        return made.stored(rng.integers(low, high, shape), scale, zero, dtype)

    def quantized(x: str) -> str:
        dtype = [np.uint8, np.int8, np.int16][rng.integers(3)]
        zero = int(rng.integers(0, 100))
        return made.linear(x, float(np.exp2(rng.integers(0, 5))), zero, dtype)

    x = made.linear("x", 0.25, 7, np.uint8)
    y = quantized(made.node("Conv", x, stored((4, 3, 3, 3)), pads=[1, 1, 1, 1]))
    z = quantized(made.node("Conv", y, stored((4, 4, 1, 1)), strides=[1, 1]))
    y = quantized(made.node("Clip", made.node("Add", y, z), made.const(-3), made.const(90.0)))
    y = made.linear(made.node("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2]), 2.0, 3)
    y = made.node("Flatten", y)
    y = quantized(made.node("Gemm", y, stored((5, 36)), transB=1))
    path = made.save(tmp_path / "drawn.onnx", y, opset=21)
    imported = import_onnx(path)
    assert imported.exact
    images = (rng.integers(-600, 600, (20, 3, 6, 6)) / 8).astype(np.float32)
    (name,) = imported.network.outputs
    ours = imported.real(forward(imported.network, imported.quantize_input(images)))[name]
    assert np.array_equal(ours, run_runtime(path, images))


def test_operators_on_integers_round_ties_to_even(tmp_path: Path) -> None:
    made = GraphBuilder((1, 1, 8))
    unit, zero = made.const(1.0), made.const(0, np.int8)
    x = made.node("QuantizeLinear", "x", unit, zero)
    weight = made.const(np.ones((1, 1, 1, 1)), np.int8)
    two, three = made.const(2.0), made.const(3, np.int8)
    y = made.node("QLinearConv", x, unit, zero, weight, unit, zero, two, three)
    path = made.save(tmp_path / "ties.onnx", made.node("DequantizeLinear", y, two, three))
    imported = import_onnx(path)
    layer = imported.network.layers[0]
    assert isinstance(layer, Conv2d) and layer.requantize.rounding is Rounding.HALF_EVEN
    images = np.array([-7, -5, -3, -1, 1, 3, 5, 7], np.float32).reshape(1, 1, 1, 8)
    (name,) = imported.network.outputs
    ours = imported.real(forward(imported.network, imported.quantize_input(images)))[name]
    assert ours.ravel().tolist() == [-8, -4, -4, 0, 0, 4, 4, 8]
    assert np.array_equal(ours, run_runtime(path, images))


def test_asymmetric_weights_keep_every_integer(tmp_path: Path) -> None:
    made = GraphBuilder((2, 1, 1))
    x = made.linear("x", 1.0, 0)
    weight = made.stored([[[[0]], [[255]]]], 1.0, 128, np.uint8)
    path = made.save(tmp_path / "asymmetric.onnx", made.linear(made.node("Conv", x, weight), 256.0))
    layer = import_onnx(path).network.layers[0]
    assert isinstance(layer, Conv2d)
    assert layer.weight.ravel().tolist() == [-128, 127] and layer.weight_bits == 8


def test_relu_and_narrow_clips_become_clamps(tmp_path: Path) -> None:
    made = GraphBuilder((1, 1, 4))
    x = made.linear("x", 1.0, 0, np.int8)
    y = made.node("Conv", x, made.stored(np.ones((1, 1, 1, 1)), 1.0))
    y = made.node("Clip", y, made.const(-8.0), made.const(7.0))
    path = made.save(tmp_path / "narrow.onnx", made.linear(y, 1.0, 0, np.int8))
    imported = import_onnx(path)
    layer = imported.network.layers[0]
    assert isinstance(layer, Conv2d)
    assert str(layer.output) == "int4" and layer.requantize.clamp is None
    images = np.array([-100, -8, 7, 100], np.float32).reshape(1, 1, 1, 4)
    outputs = forward(imported.network, imported.quantize_input(images))
    assert np.array_equal(imported.real(outputs)[layer.name], run_runtime(path, images))


def test_images_may_come_as_integers(tmp_path: Path) -> None:
    from onnx import TensorProto, load, save

    made = GraphBuilder((1, 2, 2))
    x = made.node("DequantizeLinear", "x", made.const(0.5), made.const(100, np.uint8))
    y = made.node("Conv", x, made.stored(np.full((1, 1, 1, 1), 3), 0.5))
    path = made.save(tmp_path / "integers.onnx", made.linear(y, 1.0, 0, np.int8))
    model = load(path)
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
    save(model, path)
    imported = import_onnx(path)
    assert str(imported.network.input.type) == "uint8 zero 100"
    images = np.array([0, 90, 120, 255], np.uint8).reshape(1, 1, 2, 2)
    (name,) = imported.network.outputs
    outputs = forward(imported.network, images.astype(np.int64))
    theirs = run_runtime(path, images)  # type: ignore[arg-type]
    assert np.array_equal(imported.real(outputs)[name], theirs)
