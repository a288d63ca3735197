"""Conv and QLinearConv of several groups are layers that read their group's channels only."""

from pathlib import Path

import numpy as np
import pytest

from systolith.exchange import Format, export_onnx, import_onnx
from systolith.network import Conv2d, IntArray, IntegerNetwork, Pattern, Strided, forward
from tests.support.onnx_graphs import GraphBuilder, equal_to_runtime, run_qonnx


def _weights(*shape: int) -> IntArray:
    rng = np.random.default_rng(5)
    return np.asarray(rng.integers(1, 10, shape) * rng.choice([-1, 1], shape))


def _check(network: IntegerNetwork, pattern: str) -> None:
    layer = network.layers[0]
    assert isinstance(layer, Conv2d) and layer.groups == 1 and layer.weight.shape[:2] == (6, 8)
    assert str(layer.pattern) == pattern
    assert not layer.weight[:3, 4:].any() and not layer.weight[3:, :4].any()


def _file(path: Path, weights: IntArray, **options: object) -> Path:
    """A quantized Conv of two groups, with a bias, and a scale for each filter."""
    made, rng = GraphBuilder((8, 6, 5)), np.random.default_rng(6)
    stored, x = made.stored(weights, rng.uniform(0.01, 0.02, 6)), made.linear("x", 0.25, 7)
    y = made.node("Conv", x, stored, made.const(rng.normal(0, 1, 6)), group=2, **options)
    return made.save(path / "grouped.onnx", made.linear(y, 0.125, 100))


@pytest.mark.parametrize("kernel", [(3, 3), (1, 1), (2, 1)])
def test_conv_equals_onnx_runtime(kernel: tuple[int, int], tmp_path: Path) -> None:
    path = _file(tmp_path, _weights(6, 4, *kernel), strides=[2, 1])
    _check(equal_to_runtime(path).network, "4-out-of-8 kernels shared by 3")


def test_sparsity_within_groups_is_found(tmp_path: Path) -> None:
    weights = _weights(6, 4, 3, 3)
    weights[:, [1, 2]] = 0
    path = _file(tmp_path, weights)
    _check(equal_to_runtime(path).network, "2-out-of-8 kernels")


def test_the_next_best_is_taken_where_taps_differ_within_a_group(tmp_path: Path) -> None:
    taps = Pattern(taps=Strided(2, (0, 0, 0, 1))).best_mask(np.ones((6, 4, 3, 3)))
    network = equal_to_runtime(_file(tmp_path, _weights(6, 4, 3, 3) * taps)).network
    _check(network, "3-out-of-8")


def test_q_linear_conv_equals_onnx_runtime(tmp_path: Path) -> None:
    made = GraphBuilder((8, 5, 5))
    x = [made.const(0.25), made.const(3, np.uint8)]
    w = [made.const(_weights(6, 4, 3, 3), np.int8), made.const(0.5), made.const(0, np.int8)]
    y = [made.const(2.0), made.const(128, np.uint8)]
    images = made.node("QuantizeLinear", "x", *x)
    sums = made.node("QLinearConv", images, *x, *w, *y, group=2, pads=[1] * 4)
    path = made.save(tmp_path / "grouped.onnx", made.node("DequantizeLinear", sums, *y))
    _check(equal_to_runtime(path).network, "4-out-of-8 kernels shared by 3")


@pytest.mark.parametrize("bits", [2, 4])
def test_quantized_weights_of_few_bits_equal_qonnx(bits: int, tmp_path: Path) -> None:
    made = GraphBuilder((8, 4, 4))
    real = _weights(6, 4, 3, 3) / 8
    weights = made.quant(made.const(real), 0.5, bits=bits, narrow=1)
    y = made.node("Conv", made.quant("x", 0.5, bits=4), weights, group=2)
    path = made.save(tmp_path / "grouped.onnx", made.quant(y, 1.0))
    found = import_onnx(path)
    _check(found.network, "4-out-of-8 kernels shared by 3")
    images = np.random.default_rng(1).normal(0, 2, (8, 8, 4, 4)).astype(np.float32)
    (ours,) = found.real(forward(found.network, found.quantize_input(images))).values()
    assert found.exact and np.array_equal(ours, run_qonnx(path, images))


@pytest.mark.parametrize("form", Format)
def test_an_exported_network_comes_back(form: Format, tmp_path: Path) -> None:
    network = import_onnx(_file(tmp_path, _weights(6, 4, 3, 3))).network
    export_onnx(network, path := tmp_path / "back.onnx", form)
    images = np.random.default_rng(1).integers(0, 256, (8, 8, 6, 5))
    expected, got = (forward(each, images) for each in (network, import_onnx(path).network))
    assert list(expected) == list(got)
    assert all(np.array_equal(expected[name], got[name]) for name in expected)
