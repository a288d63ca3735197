"""LeakyRelu and PRelu behind layers: multipliers of negative accumulators."""

from pathlib import Path

import numpy as np
import pytest

from systolith.exchange import ExchangeError, Format, export_onnx, import_onnx
from systolith.network import (
    ActType,
    AvgPool2d,
    Conv2d,
    IntegerNetwork,
    Requantize,
    Rounding,
    Tensor,
    forward,
)
from tests.support.onnx_graphs import GraphBuilder, run_qonnx, run_runtime

RNG = np.random.default_rng(5)
SLOPES = np.array([0.25, 0.0, -0.5, 2.0], np.float32).reshape(4, 1, 1)
IMAGES = RNG.integers(-128, 128, (20, 2, 5, 5)).astype(np.float32) * np.float32(0.125)


def _convolution(made: GraphBuilder) -> str:
    x = made.linear("x", 0.125, 0, np.int8)
    weight = made.stored(RNG.integers(-127, 128, (4, 2, 3, 3)), 0.0625)
    bias = made.const(RNG.integers(-400, 400, 4) * np.float32(0.0078125))
    return made.node("Conv", x, weight, bias)


def _real(path: Path) -> tuple[IntegerNetwork, np.ndarray]:
    model = import_onnx(path)
    (real,) = model.real(forward(model.network, model.quantize_input(IMAGES))).values()
    return model.network, real.astype(np.float32)


@pytest.mark.parametrize("channels", [False, True])
def test_slopes_behind_a_convolution_equal_onnx_runtime(channels: bool, tmp_path: Path) -> None:
    made = GraphBuilder((2, 5, 5))
    y = _convolution(made)
    if channels:
        y = made.node("PRelu", y, made.const(SLOPES))
    else:
        y = made.node("LeakyRelu", y, alpha=0.125)
    y = made.node("Clip", y, made.const(-9.0), made.const(20.0))
    path = made.save(tmp_path / "sloped.onnx", made.linear(y, 0.25, 3, np.int8))
    network, real = _real(path)
    (layer,) = network.layers
    assert isinstance(layer, Conv2d) and layer.requantize.negative is not None
    assert np.array_equal(real, run_runtime(path, IMAGES))


def test_slopes_of_channels_behind_a_quantizer_are_a_pool_of_one_pixel(tmp_path: Path) -> None:
    made = GraphBuilder((4, 4, 4))
    y = made.node("PRelu", made.linear("x", 0.125, 0, np.int8), made.const(SLOPES))
    path = made.save(tmp_path / "sloped.onnx", made.linear(y, 0.25, 3, np.int8))
    model = import_onnx(path)
    (layer,) = model.network.layers
    assert isinstance(layer, AvgPool2d) and layer.kernel_size == (1, 1)
    images = np.arange(-128, 128, dtype=np.float32).reshape(4, 4, 4, 4) * np.float32(0.125)
    (real,) = model.real(forward(model.network, model.quantize_input(images))).values()
    assert np.array_equal(real.astype(np.float32), run_runtime(path, images))


def test_qonnx_equals_its_executor(tmp_path: Path) -> None:
    made = GraphBuilder((2, 5, 5))
    weight = made.quant(made.const(RNG.integers(-7, 8, (4, 2, 3, 3)) * 0.5), 0.5, 0, 4)
    y = made.node("PRelu", made.node("Conv", made.quant("x", 0.125), weight), made.const(SLOPES))
    path = made.save(tmp_path / "sloped.onnx", made.quant(y, 1.0))
    network, real = _real(path)
    assert len(network.layers) == 1
    assert np.array_equal(real, run_qonnx(path, IMAGES))


def test_any_slope_has_a_bound(tmp_path: Path) -> None:
    made = GraphBuilder((2, 5, 5))
    y = made.node("LeakyRelu", _convolution(made), alpha=0.013)
    model = import_onnx(made.save(tmp_path / "s.onnx", made.linear(y, 0.251, 0, np.int8)))
    (units,) = model.units.values()
    assert 0 < units < 1e-3


@pytest.mark.parametrize("form", Format)
@pytest.mark.parametrize("rounding", [Rounding.HALF_UP, Rounding.HALF_EVEN, Rounding.FLOOR])
@pytest.mark.parametrize("negative", [[3], [1, 0, -2, 8]])
def test_exported_slopes_come_back(
    form: Format, rounding: Rounding, negative: list[int], tmp_path: Path
) -> None:
    layer = Conv2d(
        name="conv",
        input="input",
        weight=RNG.integers(-7, 8, (4, 2, 3, 3)),
        bias=RNG.integers(-40, 40, 4),
        requantize=Requantize(
            multiplier=np.array([4]),
            shift=np.array([6]),
            negative=np.array(negative),
            rounding=rounding,
        ),
        output=ActType(bits=8, signed=True),
    )
    act = ActType(bits=8, signed=True)
    network = IntegerNetwork(input=Tensor((2, 5, 5), act), layers=(layer,))
    path = tmp_path / "net.onnx"
    export_onnx(network, path, form)
    back = import_onnx(path)
    images = np.rint(IMAGES / 0.125).astype(np.int64)
    (golden,) = forward(network, images).values()
    (again,) = forward(back.network, images).values()
    assert np.array_equal(golden, again) and set(back.units.values()) == {0.0}
    run = run_runtime if form is Format.QDQ else run_qonnx
    assert np.array_equal(np.rint(run(path, images.astype(np.float32))), golden)


@pytest.mark.parametrize("behind", [False, True])
def test_constants_around_slopes_are_refused(behind: bool, tmp_path: Path) -> None:
    made = GraphBuilder((4, 5, 5))
    y = made.node("AveragePool", made.linear("x", 0.125, 0, np.int8), kernel_shape=[2, 2])
    if not behind:
        y = made.node("Mul", made.node("Add", y, made.const(0.7)), made.const(0.5))
    y = made.node("LeakyRelu", y)
    if behind:
        y = made.node("Add", y, made.const(0.7))
    path = made.save(tmp_path / "s.onnx", made.linear(y, 0.25, 0, np.int8))
    with pytest.raises(ExchangeError, match="adds? (a|an)? ?(constant|added)|an added constant"):
        import_onnx(path)
