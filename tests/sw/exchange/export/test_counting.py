"""Thresholds as MultiThreshold or as comparisons: other tools count the same, and so does ours."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from systolith.exchange import ExchangeError, Format, export_model, export_onnx, import_onnx
from systolith.exchange.export.scales import choose_scales
from systolith.network import (
    ActType,
    Add,
    AvgPool2d,
    Conv2d,
    Flatten,
    IntegerNetwork,
    Linear,
    Multiply,
    Requantize,
    Tensor,
    forward,
    trace,
)
from tests.support.onnx_graphs import run_qonnx, run_runtime


def _counting(rows: int, levels: int, reach: int, seed: int = 0) -> Requantize:
    rng = np.random.default_rng(seed)
    return Requantize.by_thresholds(np.sort(rng.integers(-reach, reach, (rows, levels)), axis=1))


def _network() -> IntegerNetwork:
    """Each layer that accumulates, with one row for all channels or one for each."""
    rng = np.random.default_rng(1)
    act = ActType(bits=4, signed=True, zero_point=-1)
    return IntegerNetwork(
        input=Tensor((3, 6, 6), ActType(bits=4, signed=True, zero_point=2)),
        layers=(
            Conv2d(
                name="conv",
                input="input",
                weight=rng.integers(-3, 4, (4, 3, 3, 3)),
                bias=rng.integers(-9, 9, 4),
                requantize=_counting(4, 15, 80),
                output=act,
                padding=(1, 1, 1, 1),
            ),
            AvgPool2d(
                name="mean",
                input="conv",
                kernel_size=(3, 3),
                stride=(1, 1),
                padding=(1, 1, 1, 1),
                counted=(0, 0, 0, 0),
                # Thresholds that sums reach exactly.
                requantize=Requantize.by_thresholds([[-180, -72, -9, 0, 36, 37, 99, 180]]),
                output=ActType(bits=5, signed=False, zero_point=7),
            ),
            Add(
                name="sum",
                inputs=("mean", "conv"),
                multipliers=(6, 12),
                requantize=_counting(4, 7, 90),
                output=ActType(bits=3, signed=True),
            ),
            Multiply(
                name="product",
                inputs=("sum", "mean"),
                requantize=Requantize.by_thresholds([[-(10**9), -5, 1, 1, 40, 10**9]]),
                output=ActType(bits=3, signed=False, zero_point=3),
            ),
            Flatten(name="flat", input="product"),
            Linear(
                name="fc",
                input="flat",
                weight=rng.integers(-1, 2, (5, 144)),
                bias=np.zeros(5, int),
                requantize=_counting(1, 255, 200),
                output=ActType(bits=8, signed=True, zero_point=5),
            ),
        ),
    )


@pytest.mark.parametrize("scale", [1.0, 0.25, 1 / 255])
def test_other_tools_count_the_same(scale: float, tmp_path: Path) -> None:
    network = _network()
    integers = np.random.default_rng(0).integers(-8, 8, (20, *network.input.shape))
    values = trace(network, integers)
    for layer in network.layers:
        assert np.unique(values[layer.name]).size > 2, layer.name
    images = ((integers - 2) * np.float32(scale)).astype(np.float32)
    for form, run in ((Format.QONNX, run_qonnx), (Format.QDQ, run_runtime)):
        export_onnx(network, tmp_path / "counts.onnx", form, input_scale=scale)
        steps = run(tmp_path / "counts.onnx", images) / float(choose_scales(network, scale)["fc"])
        assert np.array_equal(np.rint(steps).astype(int) + 5, values["fc"])
        onnx.checker.check_model(onnx.load(tmp_path / "counts.onnx"))
        if form is Format.QONNX:
            found = import_onnx(tmp_path / "counts.onnx")
            assert found.agreement is not None and not found.agreement.differing
            (real,) = found.real(forward(found.network, integers)).values()
            assert np.array_equal(real, run(tmp_path / "counts.onnx", images))
        else:
            with pytest.raises(
                ExchangeError, match="GreaterOrEqual.*or count by QONNX's MultiThreshold"
            ):
                import_onnx(tmp_path / "counts.onnx")


@pytest.mark.parametrize(("bits", "thresholds"), [(1, [[3], [-2]]), (2, [[0, 0, 1]])])
def test_each_sum_beside_a_threshold(bits: int, thresholds: Any, tmp_path: Path) -> None:
    layer = Linear(
        name="fc",
        input="input",
        weight=np.array([[1], [-1]]),
        bias=np.array([0, 1]),
        requantize=Requantize.by_thresholds(thresholds),
        output=ActType(bits=bits, signed=False, zero_point=1),
        weight_bits=1,
    )
    network = IntegerNetwork(input=Tensor((1,), ActType(bits=4, signed=True)), layers=(layer,))
    integers = np.arange(-8, 8)[:, None]
    (wanted,) = forward(network, integers).values()
    for form, run in ((Format.QONNX, run_qonnx), (Format.QDQ, run_runtime)):
        export_onnx(network, tmp_path / "few.onnx", form)
        real = run(tmp_path / "few.onnx", integers.astype(np.float32))
        assert np.array_equal(real + 1, wanted)
    (back,) = forward(import_onnx(_exported(network, tmp_path)).network, integers).values()
    assert np.array_equal(back, wanted)


def _exported(network: IntegerNetwork, folder: Path) -> Path:
    export_onnx(network, folder / "again.onnx", Format.QONNX)
    return folder / "again.onnx"


def test_sums_that_float32_does_not_tell_apart_are_refused() -> None:
    wide = ActType(bits=16, signed=False)
    layer = AvgPool2d(
        name="mean",
        input="input",
        kernel_size=(9, 9),
        requantize=Requantize.by_thresholds([[5, 9]]),
        output=wide,
    )
    network = IntegerNetwork(input=Tensor((1, 9, 9), wide), layers=(layer,))
    for form in Format:
        with pytest.raises(ExchangeError, match="counts thresholds of sums that reach 5,308,335;"):
            export_model(network, form)
