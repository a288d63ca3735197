"""Sequences (N, C, L) that are cut, joined, gated and reduced; images that vectors gate."""

from pathlib import Path

import numpy as np
import pytest

from systolith.exchange import ExchangeError, import_onnx
from systolith.network import Concat, MaxPool2d, Multiply, Pad2d, SelectChannels, Upsample
from tests.support.onnx_graphs import GraphBuilder, equal_to_runtime


def _kinds(made: GraphBuilder, y: str, path: Path, scale: float = 0.5) -> list[type]:
    found = equal_to_runtime(made.save(path / "net.onnx", made.linear(y, scale, 128)))
    return [type(layer) for layer in found.network.layers]


def _convolved(made: GraphBuilder, filters: int, scale: float = 2.0) -> str:
    """Give a convolution of 3 channels, quantized."""
    integers = np.random.default_rng(filters).integers(-9, 10, (filters, 3, 3))
    weights = made.stored(integers, 0.25)
    y = made.node("Conv", made.linear("x", 0.125, 100), weights, pads=[1, 1])
    return made.linear(y, scale, 128)


@pytest.mark.parametrize(("start", "end"), [(0, -2), (1, 9), (3, 4)])
def test_ends_are_cut_off(start: int, end: int, tmp_path: Path) -> None:
    made = GraphBuilder((3, 10))
    places = [made.const([value], np.int64) for value in (start, end, 2, 1)]
    y = made.node("Slice", _convolved(made, 4), *places)
    assert Pad2d in _kinds(made, y, tmp_path)


def test_channels_are_selected_and_joined(tmp_path: Path) -> None:
    made = GraphBuilder((3, 10))
    x = _convolved(made, 4)
    places = [made.const([value], np.int64) for value in (1, 3, 1, 1)]
    y = made.node("Concat", made.node("Slice", x, *places), x, axis=1)
    kinds = _kinds(made, y, tmp_path)
    assert kinds.count(SelectChannels) == kinds.count(Concat) == 1


def test_sequences_of_several_scales_are_joined(tmp_path: Path) -> None:
    made = GraphBuilder((3, 10))
    y = made.node("Concat", _convolved(made, 4), _convolved(made, 2, 4.0), axis=1)
    assert Concat in _kinds(made, y, tmp_path, 4.0)


@pytest.mark.parametrize("place", [-1, 0, 4])
def test_one_place_is_a_vector(place: int, tmp_path: Path) -> None:
    made = GraphBuilder((3, 10))
    y = made.node("Gather", _convolved(made, 4), made.const(place, np.int64), axis=2)
    weights = made.stored(np.random.default_rng(0).integers(-9, 10, (4, 2)), 0.25)
    assert Pad2d in _kinds(made, made.node("Gemm", y, weights), tmp_path, 4.0)


@pytest.mark.parametrize(
    ("op", "keepdims"), [("ReduceMean", 0), ("ReduceMax", 0), ("ReduceMax", 1)]
)
def test_reductions_of_the_length(op: str, keepdims: int, tmp_path: Path) -> None:
    made = GraphBuilder((3, 8))
    y = made.node(op, _convolved(made, 4), axes=[-1], keepdims=keepdims)
    assert (MaxPool2d in _kinds(made, y, tmp_path)) == (op == "ReduceMax")


@pytest.mark.parametrize("op", ["ReduceMean", "ReduceMax"])
@pytest.mark.parametrize("keepdims", [0, 1])
@pytest.mark.parametrize("axes", [[2], [-1], [-2, -1]])
def test_reductions_of_images(op: str, keepdims: int, axes: list[int], tmp_path: Path) -> None:
    made = GraphBuilder((3, 4, 8))
    integers = np.random.default_rng(0).integers(-9, 10, (5, 3, 1, 1))
    y = made.node("Conv", made.linear("x", 0.125, 100), made.stored(integers, 0.25))
    y = made.node(op, made.linear(y, 2.0, 128), axes=axes, keepdims=keepdims)
    _kinds(made, y, tmp_path)


@pytest.mark.parametrize("op", ["ReduceMean", "ReduceMax"])
def test_padding_is_part_of_what_is_reduced(op: str, tmp_path: Path) -> None:
    made = GraphBuilder((3, 6, 4))
    pads = made.const([0, 0, 1, 0, 0, 0, 1, 0], np.int64)
    integers = np.random.default_rng(0).integers(-9, 10, (5, 3, 1, 1))
    y = made.node("Conv", made.linear("x", 0.125, 100), made.stored(integers, 0.25))
    y = made.node("Pad", made.linear(y, 2.0, 128), pads)
    assert Pad2d in _kinds(made, made.node(op, y, axes=[2], keepdims=1), tmp_path)


@pytest.mark.parametrize("size", [(8,), (4, 4)])
def test_a_vector_gates_channels(size: tuple[int, ...], tmp_path: Path) -> None:
    made = GraphBuilder((3, *size))
    integers = np.random.default_rng(0).integers(-9, 10, (4, 3, *[1] * len(size)))
    x = made.node("Conv", made.linear("x", 0.125, 100), made.stored(integers, 0.25))
    x = made.linear(x, 2.0, 128)
    gate = made.node("Flatten", made.linear(made.node("GlobalAveragePool", x), 2.0, 128))
    square = made.stored(np.random.default_rng(1).integers(-9, 10, (4, 4)), 0.125)
    gate = made.linear(made.node("Gemm", gate, square), 4.0, 128)
    shape = made.const([-1, 4, *[1] * len(size)], np.int64)
    kinds = _kinds(made, made.node("Mul", x, made.node("Reshape", gate, shape)), tmp_path, 64.0)
    assert kinds.count(Multiply) == kinds.count(Upsample) == 1


def test_a_sequence_never_gates_an_image(tmp_path: Path) -> None:
    made = GraphBuilder((3, 1, 3))
    integers = np.random.default_rng(0).integers(-9, 10, (3, 3, 1, 1))
    x = made.node("Conv", made.linear("x", 0.125, 100), made.stored(integers, 0.25))
    x = made.linear(x, 2.0, 128)
    row = made.node("Reshape", x, made.const([-1, 3, 3], np.int64))
    y = made.linear(made.node("Mul", x, row), 4.0, 128)
    with pytest.raises(ExchangeError, match=r"multiplies shapes \(3, 1, 3\) and \(3, 3\)"):
        import_onnx(made.save(tmp_path / "net.onnx", y))
