"""Products of two activations in ONNX files, and back."""

from pathlib import Path

import numpy as np
import pytest

from systolith.exchange import ExchangeError, Format, export_onnx, import_onnx
from systolith.network import Multiply, Upsample, forward
from tests.support.onnx_graphs import GraphBuilder

MICROSOFT = "com.microsoft"
SHAPES = [(3, 4, 5), (3, 1, 1), (1, 4, 5), (1, 1, 1)]


@pytest.mark.parametrize("quantizers", ["QDQ", "QONNX"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("swapped", [False, True])
def test_equals_other_tools(
    quantizers: str, shape: tuple[int, int, int], swapped: bool, tmp_path: Path
) -> None:
    made = GraphBuilder((3, 4, 5))

    def quantize(value: str, scale: float) -> str:
        if quantizers == "QDQ":
            return made.linear(value, scale, -4, np.int8)
        return made.quant(value, scale, 0, 6)

    x = quantize("x", 0.125)
    gate = made.node("MaxPool", x, kernel_shape=[1, 1])
    if shape[1:] == (1, 1):
        gate = made.node("GlobalMaxPool", x)
    if shape[0] == 1:
        weight = made.quant(made.const(np.array([1.0, -2, 1]).reshape(1, 3, 1, 1)), 1.0, 0, 3)
        if quantizers == "QDQ":
            weight = made.node(
                "DequantizeLinear",
                made.const(np.array([1, -2, 1]).reshape(1, 3, 1, 1), np.int8),
                made.const(1.0),
            )
        gate = made.node("Conv", gate, weight)
    gate = quantize(gate, 0.25)
    factors = (gate, x) if swapped else (x, gate)
    path = made.save(tmp_path / "product.onnx", quantize(made.node("Mul", *factors), 0.5))
    imported = import_onnx(path)
    assert any(isinstance(layer, Multiply) for layer in imported.network.layers)
    assert imported.agreement is not None and not imported.agreement.differing


@pytest.mark.parametrize("form", list(Format))
def test_comes_back(form: Format, tmp_path: Path) -> None:
    made = GraphBuilder((3, 4, 5))
    x = made.quant("x", 0.125, 0, 6)
    gate = made.quant(made.node("GlobalMaxPool", x), 0.25, 0, 6)
    y = made.quant(made.node("Mul", x, gate), 0.5, 0, 6)
    imported = import_onnx(made.save(tmp_path / "product.onnx", y))
    network = imported.network
    export_onnx(network, tmp_path / "back.onnx", form=form)
    act = network.input.type
    images = np.random.default_rng(0).integers(act.low, act.high + 1, (8, 3, 4, 5))
    again = import_onnx(tmp_path / "back.onnx")
    assert again.agreement is not None and not again.agreement.differing
    for ours, back in zip(
        forward(network, images).values(), forward(again.network, images).values(), strict=True
    ):
        assert np.array_equal(ours, back)


@pytest.mark.parametrize("zero", [128, 120])
def test_product_of_integers(zero: int, tmp_path: Path) -> None:
    made = GraphBuilder((4, 3, 3))

    def parameters(scale: float, at: int) -> list[str]:
        return [made.const(scale), made.const(at, np.uint8)]

    integers = made.node("QuantizeLinear", "x", *parameters(0.0625, 128))
    pooled = made.node("MaxPool", integers, kernel_shape=[1, 1])
    y = made.node(
        "QLinearMul", integers, *parameters(0.0625, 128), pooled, *parameters(0.0625, 128),
        *parameters(0.25, zero), domain=MICROSOFT,
    )  # fmt: skip
    y = made.node("DequantizeLinear", y, *parameters(0.25, zero))
    imported = import_onnx(made.save(tmp_path / "product.onnx", y))
    assert imported.agreement is not None and not imported.agreement.differing


@pytest.mark.parametrize("op", ["Mul", "Add"])
@pytest.mark.parametrize("window", [(1, 5), (4, 1), (4, 5)])
@pytest.mark.parametrize("swapped", [False, True])
def test_rows_columns_and_pixels_are_repeated(
    op: str, window: tuple[int, int], swapped: bool, tmp_path: Path
) -> None:
    made = GraphBuilder((3, 4, 5))
    x = made.quant("x", 0.125, 0, 6)
    small = made.quant(made.node("MaxPool", x, kernel_shape=list(window)), 0.125, 0, 6)
    y = made.node(op, *((small, x) if swapped else (x, small)))
    imported = import_onnx(made.save(tmp_path / "repeated.onnx", made.quant(y, 0.5, 0, 6)))
    assert imported.agreement is not None and imported.agreement.equal
    (repeated,) = (one for one in imported.network.layers if isinstance(one, Upsample))
    assert repeated.factors == window


@pytest.mark.parametrize("op", ["Mul", "Add"])
def test_vectors_along_rows_are_refused(op: str, tmp_path: Path) -> None:
    made = GraphBuilder((3, 4, 5))
    x = made.quant("x", 0.125, 0, 6)
    mean = made.node("ReduceMax", x, axes=[1, 2], keepdims=0)
    y = made.node(op, x, made.quant(mean, 0.125, 0, 6))
    with pytest.raises(ExchangeError, match="shapes"):
        import_onnx(made.save(tmp_path / "rows.onnx", made.quant(y, 0.5, 0, 6)))
