"""MultiThreshold nodes, as FINN writes them instead of quantizers."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from systolith.exchange import ExchangeError, ImportedModel, import_onnx
from systolith.network import Conv2d, Linear, forward
from systolith.plan import plan_network
from tests.support.onnx_graphs import QONNX, GraphBuilder, annotated, run_qonnx


def _counted(made: GraphBuilder, x: str, thresholds: Any, **attributes: Any) -> str:
    given = {"out_dtype": "UINT2", **attributes}
    return made.node("MultiThreshold", x, made.const(thresholds), domain=QONNX, **given)


def _equal(path: Path) -> ImportedModel:
    found = import_onnx(path)
    assert found.agreement is not None and found.agreement.equal and found.agreement.values > 50
    return found


@pytest.mark.parametrize(("kind", "most"), [("INT3", 3), ("BIPOLAR", 1)])
def test_a_network_of_few_bits(kind: str, most: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    draw = rng.integers(-most, most + 1, (12 + 9, 9)) if most > 1 else rng.choice([-1, 1], (21, 9))
    made = GraphBuilder((12,))
    first, second = made.const(draw[:12]), made.const(draw[12:])
    x = _counted(made, made.node("Sub", "x", made.const(0.5)), [[-1.0, 0.0, 1.0]])
    y = made.node("Mul", made.node("Add", x, made.const(-1.0)), made.const(0.5))
    y = _counted(made, made.node("MatMul", y, first), [[-0.5, 0.5]] * 9)
    y = made.node("MatMul", made.node("Add", y, made.const(-1.0)), second)
    path = made.save(tmp_path / "few.onnx", y)
    assert _equal(annotated(path, x="UINT8", **{first: kind, second: kind})).exact
    with pytest.raises(ExchangeError, match="its weights are float constants"):
        import_onnx(made.save(tmp_path / "reals.onnx", y))


def test_signs(tmp_path: Path) -> None:
    made = GraphBuilder((12,))
    weights = made.const(np.random.default_rng(0).choice([-1, 1], (12, 12)))
    signs = {"out_scale": 2.0, "out_bias": -1.0, "out_dtype": "BIPOLAR"}
    x = _counted(made, "x", [[0.0]], **signs)
    y = _counted(made, made.node("MatMul", x, weights), [[2.0]], **signs)
    y = made.node("MatMul", y, weights)
    path = made.save(tmp_path / "signs.onnx", y)
    assert _equal(annotated(path, **{weights: "BIPOLAR"})).exact


def test_thresholds_of_channels_of_an_image(tmp_path: Path) -> None:
    made = GraphBuilder((2, 6, 6))
    rng = np.random.default_rng(0)
    kernels = [made.const(rng.integers(-3, 4, (2, 2, 3, 3))) for _ in range(2)]
    y = made.node("Conv", made.quant("x", 1.0, 0, 4), kernels[0])
    y = _counted(made, y, [[-3.5, 0.5, 4.5], [-8.0, -4.0, 0.0]])
    y = made.node("Conv", made.node("Add", y, made.const(-1.0)), kernels[1], pads=[1] * 4)
    path = made.save(tmp_path / "conv.onnx", made.quant(y, 1.0))
    assert _equal(annotated(path, **dict.fromkeys(kernels, "INT3"))).exact


def test_counts_that_are_never_negative_are_padded_with_zeros(tmp_path: Path) -> None:
    made = GraphBuilder((2, 6, 6))
    kernel = made.const(np.random.default_rng(0).integers(-3, 4, (2, 2, 3, 3)))
    y = _counted(made, made.quant("x", 1.0, 0, 4), [[0.5, 2.5, 4.5]], out_scale=0.5)
    y = made.quant(made.node("Conv", y, kernel, pads=[1] * 4), 1.0)
    found = _equal(annotated(made.save(tmp_path / "relu.onnx", y), **{kernel: "INT3"}))
    assert found.exact and len(found.network.layers) == 2


def _uneven(rng: np.random.Generator, channels: int, levels: int, reach: int) -> Any:
    return np.sort(rng.integers(-reach, reach, (channels, levels)), axis=1)


def test_thresholds_of_any_distances(tmp_path: Path) -> None:
    """A streamlined network: integer weights, no scales, counts from -2, and signs."""
    made = GraphBuilder((2, 7, 7))
    rng = np.random.default_rng(0)
    kernels = [made.const(rng.integers(-2, 2, (4, channels, 3, 3))) for channels in (2, 4)]
    x = made.quant("x", 1.0, 0, 4)
    y = made.node("Conv", x, kernels[0], pads=[1] * 4)
    y = _counted(made, y, _uneven(rng, 4, 3, 30), out_bias=-2.0, out_dtype="INT2")
    y = made.node("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2])
    y = made.node("Conv", y, kernels[1], pads=[1] * 4)
    # Channels differ in their distances, and the last threshold is reached by none.
    y = _counted(made, y, np.hstack([_uneven(rng, 4, 5, 20), [[9999]] * 4]), out_dtype="UINT3")
    signs = {"out_scale": 2.0, "out_bias": -1.0, "out_dtype": "BIPOLAR"}
    y = made.node("Flatten", _counted(made, y, [[1.0], [2.0], [3.0], [4.0]], **signs))
    last = made.const(rng.choice([-1, 1], (36, 5)))
    y = made.node("MatMul", y, last)
    path = made.save(tmp_path / "streamlined.onnx", y)
    types = {**dict.fromkeys(kernels, "INT2"), last: "BIPOLAR"}
    found = _equal(annotated(path, **types))
    convolutions = [layer for layer in found.network.layers if isinstance(layer, Conv2d)]
    assert found.exact and [layer.requantize.levels for layer in convolutions[:2]] == [3, 6]
    images = rng.integers(-8, 8, (50, 2, 7, 7)).astype(np.float32)
    (ours,) = found.real(forward(found.network, found.quantize_input(images))).values()
    assert np.array_equal(ours, run_qonnx(path, images))
    plan_network(found.network)


def test_thresholds_behind_scales_bounds_additions_and_pools(tmp_path: Path) -> None:
    made = GraphBuilder((3, 4, 4))
    rng = np.random.default_rng(1)
    x = made.quant("x", 0.25, 0, 4)
    kernel = made.quant(made.const(rng.normal(size=(3, 3, 1, 1))), 0.25, 0, 3)
    y = made.node("Mul", made.node("Conv", x, kernel), made.const(rng.random((3, 1, 1)) + 0.5))
    y = made.node("Add", y, made.const(rng.normal(size=(3, 1, 1))))
    y = _counted(made, made.node("Relu", y), [[-1.0, 0.25, 0.3]] * 2 + [[0.0, 1.0, 2.0]] * 1)
    z = _counted(made, made.node("Add", x, y), [[-1.0, 1.0, 1.0]], out_scale=0.5)
    z = made.node("AveragePool", z, kernel_shape=[2, 2], strides=[2, 2])
    # Counting twice: of an activation, and of a vector.
    z = _counted(made, _counted(made, z, [[0.2, 0.3, 1.1]]), [[0.0, 2.5, 2.75]])
    z = _counted(made, made.node("Flatten", z), [[-3.0, 0.0, 1.5]])
    found = _equal(made.save(tmp_path / "scaled.onnx", z))
    assert found.exact


def test_even_counts_of_many_bits_are_scaled(tmp_path: Path) -> None:
    """Thresholds that were rounded to integers, as FINN does, are a scale where one is equal."""
    made = GraphBuilder((6,))
    rng = np.random.default_rng(0)
    weights = made.const(rng.integers(-8, 8, (6, 8)))
    rows = [np.ceil((np.arange(31) - 15.5) * 3.3), np.ceil((np.arange(31) - 12.5) * 2.7)]
    y = _counted(made, made.node("MatMul", made.quant("x", 1.0, 0, 4), weights), rows * 4)
    found = _equal(annotated(made.save(tmp_path / "even.onnx", y), **{weights: "INT4"}))
    (layer,) = found.network.layers
    assert isinstance(layer, Linear) and not layer.requantize.levels
    assert layer.requantize.multiplier.max() > 1


@pytest.mark.parametrize(
    ("thresholds", "options", "words"),
    [
        ([0.0, 1.0], {}, r"has thresholds of shape \(2,\); \(channels, 1 to 255\) is supported"),
        ([[0.0, 1.0]], {"out_scale": -1.0}, "has out_scale -1 and out_bias 0; positive scales"),
        ([[0.0, 1.0]] * 3, {}, r"has constants of shape \(3,\)"),
    ],
)
def test_others_are_refused(
    thresholds: Any, options: dict[str, Any], words: str, tmp_path: Path
) -> None:
    made = GraphBuilder((2,))
    if len(thresholds) == 3:
        thresholds = [[float(row), row + 1.0 + row] for row in range(3)]
    y = _counted(made, made.quant("x", 0.5), thresholds, **options)
    with pytest.raises(ExchangeError, match=words):
        import_onnx(made.save(tmp_path / "odd.onnx", y))


def test_uneven_thresholds_of_a_float_input_are_refused(tmp_path: Path) -> None:
    made = GraphBuilder((4,))
    path = made.save(tmp_path / "input.onnx", _counted(made, "x", [[0.0, 1.0, 3.0]]))
    with pytest.raises(ExchangeError, match="float input that are not evenly spaced; quantize it"):
        import_onnx(path)


@pytest.mark.parametrize(
    "thresholds",
    [
        [[-0.5]],
        [[0.5]],
        [[-1.0, -0.5, 0.0, 0.5]],
        [[-1.0, -0.25, 0.5, 3.0]],
        [[-0.5, 0.25], [-1, 0.5]],
    ],
)
def test_values_behind_a_slope(thresholds: Any, tmp_path: Path) -> None:
    made, rng = GraphBuilder((2, 3, 3)), np.random.default_rng(0)
    weights = made.quant(made.const(rng.integers(-40, 41, (2, 2, 2, 2)) / 64), 1 / 64, 8)
    y = made.node("Conv", made.quant("x", 0.125, 8), weights)
    y = made.node("PRelu", y, made.const([[[0.25]], [[0.5]]]))
    assert _equal(made.save(tmp_path / "f.onnx", _counted(made, y, thresholds))).exact


def test_signs_behind_a_slope_with_a_constant_are_refused(tmp_path: Path) -> None:
    made = GraphBuilder((1, 3, 3))
    weights = made.quant(made.const(np.full((1, 1, 1, 1), 0.5)), 1 / 64, 8)
    y = made.node("LeakyRelu", made.node("Conv", made.quant("x", 0.125, 8), weights), alpha=0.25)
    y = made.node(
        "BipolarQuant", made.node("Add", y, made.const(0.25)), made.const(1.0), domain=QONNX
    )
    with pytest.raises(ExchangeError, match="with an added constant; put a quantizer before"):
        import_onnx(made.save(tmp_path / "f.onnx", y))


@pytest.mark.parametrize("bias", [0.0, -0.25, -0.5, -0.75, 0.25])
@pytest.mark.parametrize("thresholds", [[0.5, 1.0, 1.375], [-1.0, -0.5, 0.0], [0.3, 1.4, 2.4]])
def test_counts_that_a_shift_gives_have_any_zero_point(
    bias: float, thresholds: list[float], tmp_path: Path
) -> None:
    made = GraphBuilder((2, 6, 6))
    x = made.quant("x", 0.25, 2, 5)
    y = _counted(made, x, [thresholds], out_scale=0.25, out_bias=bias)
    _equal(made.save(tmp_path / "counts.onnx", y))


@pytest.mark.parametrize("function", ["", "Sigmoid", "Tanh", "Neg", "Abs"])
def test_signs_of_functions_of_a_quantized_input(function: str, tmp_path: Path) -> None:
    made = GraphBuilder((2, 6, 6))
    x = made.quant("x", 0.25, 0, 6)
    x = made.node(function, x) if function else x
    y = made.quant(x, 2.0, 0, 1)
    _equal(made.save(tmp_path / "signs.onnx", y))
