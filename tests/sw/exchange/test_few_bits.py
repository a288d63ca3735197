"""Brevitas networks of 1 to 3 bits with batch norm: equal to QONNX's executor, every output."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from systolith.exchange import ImportedModel, import_onnx
from systolith.network import Conv2d, Linear, Table, forward
from tests.support.onnx_graphs import GraphBuilder, run_qonnx

torch = pytest.importorskip("torch")
qnn = pytest.importorskip("brevitas.nn")


def _quantizers(weight_bits: int, act_bits: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Constant scales; one bit is a sign."""
    from brevitas.quant import (
        Int8ActPerTensorFloat,
        Int8WeightPerTensorFloat,
        SignedBinaryActPerTensorConst,
        SignedBinaryWeightPerTensorConst,
    )

    weights: dict[str, Any] = {"weight_quant": SignedBinaryWeightPerTensorConst, "bias": False}
    acts: dict[str, Any] = {"act_quant": SignedBinaryActPerTensorConst}
    if weight_bits > 1:
        weights |= {"weight_quant": Int8WeightPerTensorFloat, "weight_bit_width": weight_bits}
    if act_bits > 1:
        acts = {"act_quant": Int8ActPerTensorFloat, "bit_width": act_bits}
    return weights, acts


def _settled(model: Any, images: Any) -> Any:
    """Let batch norms and scales see images, and draw what batch norms learn."""
    generator = torch.Generator().manual_seed(1)
    for layer in model:
        if isinstance(layer, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(layer.weight, -1.5, 1.5, generator=generator)
            torch.nn.init.normal_(layer.bias, 0, 0.4, generator=generator)
    model.train()
    for _ in range(5):
        model(images)
    return model.eval()


def _equal(model: Any, images: Any, path: Path) -> ImportedModel:
    from brevitas.export import export_qonnx

    export_qonnx(model, images[:1], export_path=str(path), dynamo=False)
    imported = import_onnx(path)
    assert imported.exact
    inputs = images.numpy()
    (ours,) = imported.real(forward(imported.network, imported.quantize_input(inputs))).values()
    theirs = run_qonnx(path, inputs)
    assert np.unique(ours).size > 5
    assert np.abs(ours - theirs).max() <= 1e-5 * np.abs(theirs).max()
    return imported


@pytest.mark.parametrize(("weight_bits", "act_bits"), [(1, 1), (1, 2), (2, 2), (3, 3)])
def test_linear_layers_with_batch_norm(weight_bits: int, act_bits: int, tmp_path: Path) -> None:
    torch.manual_seed(weight_bits)
    weights, acts = _quantizers(weight_bits, act_bits)
    layers = [qnn.QuantIdentity(**acts)]
    for features in (20, 32):
        layers += [
            qnn.QuantLinear(features, 32, **weights),
            torch.nn.BatchNorm1d(32),
            qnn.QuantIdentity(**acts),
        ]
    model = torch.nn.Sequential(*layers, qnn.QuantLinear(32, 10, **weights))
    images = torch.randn(60, 20)
    imported = _equal(_settled(model, images), images, tmp_path / "linear.onnx")
    hidden = [each for each in imported.network.layers if isinstance(each, Linear)][:2]
    for layer in hidden:
        assert (layer.requantize.offset is None) == (act_bits == 1)
        assert int(layer.requantize.multiplier.max()).bit_length() <= 14
        assert layer.requantize.shift.size == 1


@pytest.mark.parametrize(("weight_bits", "act_bits"), [(1, 1), (2, 2)])
def test_convolutions_with_batch_norm(weight_bits: int, act_bits: int, tmp_path: Path) -> None:
    torch.manual_seed(weight_bits)
    weights, acts = _quantizers(weight_bits, act_bits)
    model = torch.nn.Sequential(
        qnn.QuantIdentity(**acts),
        qnn.QuantConv2d(2, 6, 3, **weights),
        torch.nn.BatchNorm2d(6),
        qnn.QuantIdentity(**acts),
        torch.nn.MaxPool2d(2),
        qnn.QuantConv2d(6, 8, 2, **weights),
        torch.nn.BatchNorm2d(8),
        qnn.QuantIdentity(**acts),
        torch.nn.Flatten(),
        qnn.QuantLinear(8 * 4, 10, **weights),
    )
    images = torch.randn(30, 2, 8, 8)
    imported = _equal(_settled(model, images), images, tmp_path / "conv.onnx")
    assert sum(isinstance(each, Conv2d) for each in imported.network.layers) == 2


def _imported(made: GraphBuilder, result: str, path: Path) -> tuple[ImportedModel, Path]:
    made.save(path, result)
    return import_onnx(path), path


def _ours(imported: ImportedModel, images: NDArray[np.float32]) -> NDArray[np.float64]:
    (found,) = imported.real(forward(imported.network, imported.quantize_input(images))).values()
    return found


def test_signs_may_be_averaged_added_scaled_and_leave(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    made = GraphBuilder((3, 4, 4))
    domain = "qonnx.custom_op.general"
    half = made.const(0.5)
    x = made.node("BipolarQuant", "x", half, domain=domain)
    weight = made.quant(made.const(rng.integers(-1, 2, (3, 3, 1, 1))), 1.0, 0, 2)
    y = made.node("Conv", x, weight, made.const(rng.normal(size=3) * 0.3))
    y = made.node("BipolarQuant", y, half, domain=domain)
    y = made.node("Add", made.node("Mul", y, made.const(3.0)), x)
    y = made.node("AveragePool", made.quant(y, 0.25, 0, 6), kernel_shape=[2, 2], strides=[2, 2])
    y = made.node("BipolarQuant", made.node("Sub", y, made.const(0.3)), half, domain=domain)
    imported, path = _imported(made, y, tmp_path / "signs.onnx")
    images = rng.normal(size=(40, 3, 4, 4)).astype(np.float32)
    images[0] = 0
    assert imported.exact
    assert np.array_equal(_ours(imported, images), run_qonnx(path, images))


@pytest.mark.parametrize("operator", ["Conv", "AveragePool", "Pad"])
def test_zeros_around_signs_take_a_second_bit(operator: str, tmp_path: Path) -> None:
    made = GraphBuilder((2, 4, 4))
    x = made.node("BipolarQuant", "x", made.const(0.5), domain="qonnx.custom_op.general")
    weight = made.quant(made.const(np.ones((1, 2, 3, 3))), 1.0, 0, 2)
    pads = [1, 1, 1, 1]
    if operator == "Conv":
        y = made.node("Conv", x, weight, pads=pads)
    elif operator == "AveragePool":
        y = made.node("AveragePool", x, kernel_shape=[2, 2], pads=pads, count_include_pad=1)
    else:
        x = made.node("Pad", x, made.const([0, 0, 1, 1, 0, 0, 1, 1], np.int64))
        y = made.node("Relu", x)
    imported, path = _imported(made, made.quant(y, 0.5, 0, 5), tmp_path / "padded.onnx")
    images = np.random.default_rng(0).normal(size=(30, 2, 4, 4)).astype(np.float32)
    assert np.array_equal(_ours(imported, images), run_qonnx(path, images))
    table = imported.network.layers[0]
    assert isinstance(table, Table) and table.values.tolist() == [-1, 1]


def test_a_channel_that_batch_norm_switches_off_keeps_its_shift(tmp_path: Path) -> None:
    made = GraphBuilder((4,))
    x = made.quant("x", 1.0, 0, 4)
    y = made.node("MatMul", x, made.quant(made.const(np.ones((4, 3))), 1.0, 0, 2))
    gamma, beta = made.const([0.0, 0.7, 0.0]), made.const([2.3, 0.1, -5.0])
    y = made.node(
        "BatchNormalization", y, gamma, beta, made.const(np.zeros(3)), made.const(np.ones(3))
    )
    imported, path = _imported(made, made.quant(y, 1.0, 0, 4), tmp_path / "off.onnx")
    images = np.random.default_rng(0).integers(-8, 8, (30, 4)).astype(np.float32)
    ours = _ours(imported, images)
    assert imported.exact and (ours[:, 0] == 2).all() and (ours[:, 2] == -5).all()
    assert np.array_equal(ours, run_qonnx(path, images))
