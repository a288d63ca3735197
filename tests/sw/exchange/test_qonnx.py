"""QONNX files: integers beside qonnx's own executor."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from systolith.exchange import ExchangeError, ImportedModel, import_onnx
from systolith.frontend import mirror
from systolith.network import Conv2d, Linear, MaxPool2d, Rounding, forward
from tests.support.onnx_graphs import QONNX, GraphBuilder, run_qonnx

Floats = NDArray[np.float32]


def _images(rng: np.random.Generator, shape: tuple[int, ...], step: float) -> Floats:
    """Multiples of half a step: many are ties."""
    return (rng.integers(-300, 300, (6, *shape)) * step / 2).astype(np.float32)


def _ours(imported: ImportedModel, images: Floats) -> NDArray[np.float64]:
    integers = imported.quantize_input(images)
    outputs = forward(imported.network, integers)
    twin = mirror(imported.network).trace(integers)
    for name, values in outputs.items():
        assert np.array_equal(values, twin[name]), name
    return imported.real(outputs)[imported.network.outputs[0]]


def _power(rng: np.random.Generator, low: int, high: int, count: int | None = None) -> Floats:
    return np.exp2(rng.integers(low, high, count)).astype(np.float32)


def _weights(
    made: GraphBuilder, rng: np.random.Generator, shape: tuple[int, ...], bits: int
) -> str:
    """Weights on a grid of powers of two, one for all channels or one for each."""
    each = bool(rng.integers(2))
    scale = _power(rng, -5, -2, shape[0] if each else None)
    scale = scale.reshape(-1, *[1] * (len(shape) - 1)) if each else scale
    integers = rng.integers(-(1 << (bits - 1)), 1 << (bits - 1), shape)
    return made.quant(made.const(integers * scale), scale, 0, bits)


def _draw(seed: int, path: Path) -> tuple[Path, Floats]:
    """Draw convolutions, a depthwise one, pools, an addition and a linear layer."""
    rng = np.random.default_rng(seed)
    channels, filters = (int(count) for count in rng.integers(1, 5, 2))
    made = GraphBuilder((channels, 6, 7))
    step = float(_power(rng, -4, 0))
    bits = int(rng.integers(3, 9))
    x = made.quant("x", step, 0, bits, narrow=int(rng.integers(2)))

    def quantized(x: str, *, positive: bool) -> str:
        rounding = str(rng.choice(["ROUND", "FLOOR"]))
        width = int(rng.integers(2, 9))
        # qonnx rounds after it has added the zero point: even ones keep ties where they are.
        zero = 0 if positive else int(rng.integers(-(1 << (width - 2)), 1 << (width - 2))) * 2
        if positive:
            rounding = str(rng.choice([rounding, "HALF_UP", "DOWN"]))
        return made.quant(
            x,
            float(_power(rng, -3, 3)),
            zero,
            width,
            signed=not positive,
            narrow=int(rng.integers(2)),
            rounding=rounding,
        )

    weight = _weights(made, rng, (filters, channels, 3, 3), int(rng.integers(2, 9)))
    x = made.node("Conv", x, weight, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    x = quantized(made.node("Relu", x), positive=True)
    depthwise = _weights(made, rng, (filters, 1, 3, 3), 4)
    y = made.node("Conv", x, depthwise, group=filters, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    y = quantized(y, positive=False)
    y = quantized(made.node("Add", x, y), positive=False)
    y = made.node("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2])
    if rng.integers(2):
        y = made.node("AveragePool", y, kernel_shape=[2, 2], strides=[1, 1])
        y = quantized(y, positive=False)
    y = made.node("Flatten", y)
    features = filters * (2 * 2 if made.nodes[-3].op_type == "AveragePool" else 3 * 3)
    weight = _weights(made, rng, (5, features), int(rng.integers(2, 9)))
    y = made.node("Gemm", y, weight, transB=1)
    y = quantized(y, positive=False)
    return made.save(path, y), _images(rng, made.shape, step)


@pytest.mark.parametrize("seed", range(25))
def test_powers_of_two_are_exact(seed: int, tmp_path: Path) -> None:
    path, images = _draw(seed, tmp_path / "drawn.onnx")
    imported = import_onnx(path)
    assert imported.exact
    assert np.array_equal(_ours(imported, images), run_qonnx(path, images))


def test_ties_go_to_the_even_number(tmp_path: Path) -> None:
    made = GraphBuilder((1, 1, 8))
    x = made.quant("x", 1.0, 0, 8)
    y = made.node("Conv", x, made.quant(made.const(np.ones((1, 1, 1, 1))), 1.0, 0, 2))
    path = made.save(tmp_path / "ties.onnx", made.quant(y, 2.0, 0, 8))
    images = np.array([-7, -5, -3, -1, 1, 3, 5, 7], np.float32).reshape(1, 1, 1, 8)
    imported = import_onnx(path)
    layer = imported.network.layers[0]
    assert isinstance(layer, Conv2d) and layer.requantize.rounding is Rounding.HALF_EVEN
    ours = _ours(imported, images)
    assert ours.ravel().tolist() == [-8, -4, -4, 0, 0, 4, 4, 8]
    assert np.array_equal(ours, run_qonnx(path, images))


@pytest.mark.parametrize("multiplier_bits", [24, 9])
@pytest.mark.parametrize("seed", range(8))
def test_real_scales_stay_within_the_stated_bound(
    seed: int, multiplier_bits: int, tmp_path: Path
) -> None:
    rng = np.random.default_rng(seed)
    made = GraphBuilder((3, 5, 5))
    step = float(rng.uniform(0.01, 1))
    x = made.quant("x", step, int(rng.integers(-3, 4)), 8)
    scale = rng.uniform(0.001, 0.1, (4, 1, 1, 1)).astype(np.float32)
    weight = made.quant(made.const(rng.integers(-8, 8, (4, 3, 3, 3)) * scale), scale, 0, 4)
    bias = made.const(rng.normal(size=4))
    y = made.node("Conv", x, weight, bias, kernel_shape=[3, 3])
    parameters = [rng.uniform(0.2, 2, 4), rng.normal(size=4), rng.normal(size=4)]
    gamma, beta, mean = (made.const(values) for values in parameters)
    negative = made.const(np.array([1, -1, 1, -1]) * rng.uniform(0.2, 2, 4))
    y = made.node("BatchNormalization", y, gamma, beta, mean, made.const(rng.uniform(1, 2, 4)))
    y = made.node("Mul", y, made.node("Reshape", negative, made.const([1, 4, 1, 1], np.int64)))
    out = float(rng.uniform(0.02, 0.2))
    path = made.save(tmp_path / "real.onnx", made.quant(made.node("Relu", y), out, 0, 8, signed=0))
    images = _images(rng, made.shape, step)
    imported = import_onnx(path, multiplier_bits=multiplier_bits)
    (bound,) = imported.units.values()
    off = np.abs(_ours(imported, images) - run_qonnx(path, images)) / out
    if multiplier_bits == 24:
        # As many bits as it takes to tell all sums apart.
        assert imported.exact and bound == 0
        assert np.rint(off).max() == 0
        return
    assert not imported.exact
    assert 0 < bound < 1
    # Two numbers less than a unit apart round to neighbours, if not to the same.
    assert np.rint(off).max() <= 1
    assert 1 - 3 * bound < np.mean(np.rint(off) == 0) < 1


def test_batch_norm_flips_channels_with_a_negative_factor(tmp_path: Path) -> None:
    made = GraphBuilder((1, 2, 2))
    x = made.quant("x", 1.0, 0, 4)
    weight = made.quant(made.const(np.full((2, 1, 1, 1), -8)), 1.0, 0, 4)
    y = made.node("Conv", x, weight)
    ones, zeros = made.const(np.ones(2)), made.const(np.zeros(2))
    y = made.node("BatchNormalization", y, made.const([1, -1]), zeros, zeros, ones, epsilon=0.0)
    path = made.save(tmp_path / "flipped.onnx", made.quant(y, 1.0, 0, 8))
    imported = import_onnx(path)
    layer = imported.network.layers[0]
    assert isinstance(layer, Conv2d)
    assert layer.weight.ravel().tolist() == [-8, 8] and layer.weight_bits == 5
    images = np.array([[[[-8, 7], [1, 0]]]], np.float32)
    assert np.array_equal(_ours(imported, images), run_qonnx(path, images))


def test_max_pool_may_stand_before_the_quantizer(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    made = GraphBuilder((2, 6, 6))
    x = made.quant("x", 0.5, 0, 8)
    weight = made.quant(made.const(rng.integers(-8, 8, (3, 2, 3, 3))), 1.0, 0, 4)
    y = made.node("Relu", made.node("Conv", x, weight))
    y = made.node("MaxPool", y, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    y = made.node("Flatten", y)
    path = made.save(tmp_path / "pool.onnx", made.quant(y, 2.0, 0, 8, signed=0))
    imported = import_onnx(path)
    assert [type(layer) for layer in imported.network.layers][:2] == [Conv2d, MaxPool2d]
    images = _images(rng, made.shape, 0.5)
    assert np.array_equal(_ours(imported, images), run_qonnx(path, images))


def test_unquantized_logits_leave_with_all_their_bits(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    made = GraphBuilder((12,))
    x = made.quant("x", 0.25, 0, 4)
    weight = made.quant(made.const(rng.integers(-8, 8, (3, 12))), 0.5, 0, 5)
    path = made.save(tmp_path / "logits.onnx", made.node("Gemm", x, weight, transB=1))
    imported = import_onnx(path)
    images = _images(rng, made.shape, 0.25)
    assert imported.exact
    assert np.array_equal(_ours(imported, images), run_qonnx(path, images))


def test_input_may_be_normalized_before_it_is_quantized(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    made = GraphBuilder((3, 4, 4))
    mean = made.const(np.array([0.5, 0.25, 0.125]).reshape(1, 3, 1, 1))
    x = made.node("Mul", made.node("Sub", "x", mean), made.const(4.0))
    x = made.quant(x, 0.125, 0, 6)
    weight = made.quant(made.const(rng.integers(-2, 2, (2, 3, 2, 2))), 1.0, 0, 2)
    y = made.node("Conv", x, weight)
    path = made.save(tmp_path / "normalized.onnx", made.quant(y, 1.0, 0, 8))
    images = rng.uniform(size=(5, 3, 4, 4)).astype(np.float32)
    assert np.array_equal(_ours(import_onnx(path), images), run_qonnx(path, images))


def test_bipolar_weights_have_one_bit(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    made = GraphBuilder((8,))
    x = made.quant("x", 1.0, 0, 3)
    weight = made.node(
        "BipolarQuant", made.const(rng.normal(size=(4, 8))), made.const(0.5), domain=QONNX
    )
    y = made.quant(made.node("MatMul", x, made.node("Transpose", weight, perm=[1, 0])), 1.0, 0, 6)
    path = made.save(tmp_path / "bipolar.onnx", y)
    imported = import_onnx(path)
    layer = imported.network.layers[0]
    assert isinstance(layer, Linear)
    assert layer.weight_bits == 1 and set(np.unique(layer.weight)) == {-1, 1}
    images = _images(rng, made.shape, 1.0)
    assert np.array_equal(_ours(imported, images), run_qonnx(path, images))


def test_shapes_that_are_computed_are_worked_out(tmp_path: Path) -> None:
    made = GraphBuilder((2, 3, 3))
    x = made.quant("x", 1.0, 0, 4)
    batch = made.node("Gather", made.node("Shape", x), made.const(0, np.int64), axis=0)
    batch = made.node("Unsqueeze", batch, made.const([0], np.int64))
    shape = made.node("Concat", batch, made.const([-1], np.int64), axis=0)
    y = made.node("Reshape", x, shape)
    weight = made.quant(made.const(np.eye(18)[:4]), 1.0, 0, 2)
    y = made.quant(made.node("Gemm", y, weight, transB=1), 1.0, 0, 4)
    path = made.save(tmp_path / "view.onnx", y)
    images = np.arange(36, dtype=np.float32).reshape(2, 2, 3, 3) % 7
    assert _ours(import_onnx(path), images).tolist() == images.reshape(2, 18)[:, :4].tolist()


@pytest.mark.parametrize(
    ("rounding", "zero", "words"),
    [
        ("CEIL", 0, "rounds by 'CEIL'"),
        ("HALF_UP", 0, "never negative"),
        ("ROUND", 1, "zero point 1, which is odd"),
    ],
)
def test_other_roundings_are_refused(rounding: str, zero: int, words: str, tmp_path: Path) -> None:
    made = GraphBuilder((1, 2, 2))
    x = made.quant("x", 1.0, 0, 4)
    y = made.node("Conv", x, made.quant(made.const(np.ones((1, 1, 1, 1))), 1.0, 0, 2))
    path = made.save(tmp_path / "rounding.onnx", made.quant(y, 2.0, zero, 4, rounding=rounding))
    with pytest.raises(ExchangeError, match=words):
        import_onnx(path)


def test_brevitas_model(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    brevitas = pytest.importorskip("brevitas.nn")
    from brevitas.export import export_qonnx
    from brevitas.quant import (
        Int8ActPerTensorFixedPoint,
        Int8WeightPerTensorFixedPoint,
        Int32Bias,
        Uint8ActPerTensorFixedPoint,
    )

    torch.manual_seed(0)
    weights = {"weight_quant": Int8WeightPerTensorFixedPoint, "weight_bit_width": 4}
    relu = {"act_quant": Uint8ActPerTensorFixedPoint, "bit_width": 4, "return_quant_tensor": True}
    model = torch.nn.Sequential(
        brevitas.QuantIdentity(act_quant=Int8ActPerTensorFixedPoint, return_quant_tensor=True),
        brevitas.QuantConv2d(3, 8, 3, padding=1, bias=True, bias_quant=Int32Bias, **weights),
        brevitas.QuantReLU(**relu),
        torch.nn.MaxPool2d(2),
        torch.nn.Flatten(),
        brevitas.QuantLinear(8 * 16, 10, bias=True, bias_quant=Int32Bias, **weights),
    )
    images = torch.randn(20, 3, 8, 8)
    model.train()(images)
    path = tmp_path / "brevitas.onnx"
    with torch.no_grad():
        wanted = model.eval()(images)
    wanted = getattr(wanted, "value", wanted).numpy()
    export_qonnx(model, images[:1], export_path=str(path), dynamo=False)
    imported = import_onnx(path)
    assert imported.exact
    ours = _ours(imported, images.numpy())
    assert np.array_equal(ours, wanted)
    assert np.array_equal(ours, run_qonnx(path, images.numpy()))


@pytest.mark.parametrize(
    ("bounds", "bits", "how"),
    [
        ((0.0, 3.0), 3, {"signed": 0, "narrow": 1}),
        ((-2.0, 1.0), 3, {"signed": 1, "narrow": 1}),
        ((-2.4, 1.2), 4, {"signed": 1, "rounding": "FLOOR"}),
        ((-1.6, 0.9), 4, {"signed": 1, "rounding": "FLOOR"}),
        ((0.0, 3.6), 4, {"signed": 0, "rounding": "FLOOR"}),
    ],
)
def test_clipped_quantizer_of_all_kinds_reaches_its_bounds(
    bounds: tuple[float, float], bits: int, how: dict[str, Any], tmp_path: Path
) -> None:
    build = GraphBuilder((2, 3, 3))
    x = build.quant("x", 0.25, bits=8)
    x = build.node("Clip", x, *map(build.const, bounds))
    path = build.save(tmp_path / "model.onnx", build.quant(x, 1.0, bits=bits, **how), opset=13)
    images = np.random.default_rng(1).normal(0, 3, (8, 2, 3, 3)).astype(np.float32)
    model = import_onnx(path)
    (ours,) = model.real(forward(model.network, model.quantize_input(images))).values()
    assert np.array_equal(ours, run_qonnx(path, images))
