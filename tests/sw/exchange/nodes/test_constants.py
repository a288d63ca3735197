"""Arithmetic with constants of every shape and value, beside ONNX Runtime."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from systolith.exchange import ExchangeError, import_onnx
from systolith.network import forward
from tests.support.onnx_graphs import GraphBuilder, equal_to_runtime

INT4 = helper.tensor_dtype_to_np_dtype(TensorProto.INT4)
Write = Callable[[GraphBuilder], str]


def _weights(made: GraphBuilder, *shape: int) -> str:
    return made.stored(np.random.default_rng(0).integers(-9, 10, shape), 0.25)


def _conv(made: GraphBuilder) -> str:
    return made.node("Conv", _input(made), _weights(made, 2, 2, 3, 3))


def _input(made: GraphBuilder) -> str:
    return made.linear("x", 0.125, 100)


def _channels(made: GraphBuilder, *values: float) -> str:
    return made.const(np.reshape(values, (len(values), 1, 1)))


RIGHT: dict[str, Write] = {
    "negative, of what is quantized": lambda made: made.node("Mul", _input(made), made.const(-1.0)),
    "by channel, of what is quantized": lambda made: made.node(
        "Mul", _input(made), _channels(made, 0.5, -2.0)
    ),
    "bounds that are infinite": lambda made: made.node(
        "Clip", _conv(made), made.const(-np.inf), made.const(np.inf)
    ),
    "only an upper bound": lambda made: made.node("Clip", _conv(made), "", made.const(6.0)),
    "a bound in two steps": lambda made: made.node(
        "Min", made.node("Max", _conv(made), made.const(-1.0)), made.const(3.0)
    ),
    "bounds below 0": lambda made: made.node(
        "Clip", _conv(made), made.const(-9.0), made.const(-2.0)
    ),
    "less a result": lambda made: made.node("Sub", made.const(3.0), _conv(made)),
    "divided by channel": lambda made: made.node("Div", _conv(made), _channels(made, 0.5, -2.0)),
    "weights times a constant": lambda made: made.node(
        "Conv", _input(made), made.node("Mul", _weights(made, 2, 2, 3, 3), made.const(0.5))
    ),
    "weights of another shape": lambda made: made.node(
        "Conv",
        _input(made),
        made.node("Reshape", _weights(made, 2, 18), made.const([2, 2, 3, 3], np.int64)),
    ),
    "weights from a quantizer": lambda made: made.node(
        "Conv",
        _input(made),
        made.linear(
            made.const(np.random.default_rng(0).normal(0, 4, (2, 2, 3, 3))), 0.125, 0, np.int8
        ),
    ),
}

REFUSED: dict[str, tuple[Write, str]] = {
    "NaN": (
        lambda made: made.node("Add", _conv(made), made.const(np.nan)),
        "has constants that are infinite or no numbers",
    ),
    "infinity": (
        lambda made: made.node("Mul", _conv(made), made.const(np.inf)),
        "has constants that are infinite or no numbers",
    ),
    "NaN as a bound": (
        lambda made: made.node("Clip", _conv(made), made.const(np.nan)),
        "has NaN as a bound; numbers are supported",
    ),
    "by 0": (lambda made: made.node("Div", _conv(made), made.const(0.0)), "divides by 0"),
    "by a result": (
        lambda made: made.node("Div", made.const(1.0), _conv(made)),
        "divides by what the model computes",
    ),
    "a negative variance": (
        lambda made: made.node(
            "BatchNormalization",
            _conv(made),
            *[made.const(each) for each in ([1.0, 1.0], [0.0, 0.0], [0.0, 0.0], [-5.0, 1.0])],
        ),
        "has parameters that give infinite or undefined factors",
    ),
    "by image": (
        lambda made: made.node("Add", _conv(made), made.const(np.ones((3, 2, 3, 4)))),
        r"has constants of shape \(3, 2, 3, 4\) beside values of shape \(N, 2, 3, 4\)",
    ),
    "that enlarge": (
        lambda made: made.node(
            "Add", made.node("GlobalAveragePool", _input(made)), made.const(np.ones((2, 3, 4)))
        ),
        r"has constants of shape \(2, 3, 4\) beside values of shape \(N, 2, 1, 1\)",
    ),
    "weights first": (
        lambda made: made.node("MatMul", _weights(made, 6, 6), _input(made)),
        "its weights are computed from the images",
    ),
    "the input quantized in two ways": (
        lambda made: made.node("Add", _input(made), made.linear("x", 0.25, 100)),
        "reads the model's input quantized or arranged in another way than a node before",
    ),
}


@pytest.mark.parametrize("case", RIGHT)
def test_computed_as_the_file_says(case: str, tmp_path: Path) -> None:
    made = GraphBuilder((2, 5, 6))
    equal_to_runtime(made.save(tmp_path / "case.onnx", made.linear(RIGHT[case](made), 0.5, 128)))


@pytest.mark.parametrize("case", REFUSED)
def test_refused_by_name(case: str, tmp_path: Path) -> None:
    write, words = REFUSED[case]
    made = GraphBuilder((2, 5, 6))
    path = made.save(tmp_path / "case.onnx", made.linear(write(made), 0.5, 128))
    with pytest.raises(ExchangeError, match=words) as error:
        import_onnx(path)
    assert len(error.value.problems) == 1


@pytest.mark.parametrize("quantized", [False, True])
def test_nothing_is_left_after_times_0(quantized: bool, tmp_path: Path) -> None:
    made = GraphBuilder((2, 5, 6))
    y = made.node("Mul", _conv(made), made.const(0.0))
    path = made.save(tmp_path / "case.onnx", made.linear(y, 1.0, 128) if quantized else y)
    found = import_onnx(path)
    images = np.random.default_rng(0).normal(0, 4, (3, 2, 5, 6))
    (result,) = found.real(forward(found.network, found.quantize_input(images))).values()
    assert not result.any()


@pytest.mark.parametrize("op", ["Transpose", "Cast"])
def test_integers_of_4_bits_that_are_moved(op: str, tmp_path: Path) -> None:
    made = GraphBuilder((4,))
    integers = made.const(np.random.default_rng(0).integers(-8, 8, (4, 4)), INT4)
    how = {"Transpose": {"perm": [1, 0]}, "Cast": {"to": TensorProto.INT8}}.get(op, {})
    moved = made.node(op, integers, **how)
    weight = made.node("DequantizeLinear", moved, made.const(0.25))
    y = made.node("MatMul", made.linear("x", 0.5, 100), weight)
    equal_to_runtime(made.save(tmp_path / "narrow.onnx", made.linear(y, 1.0, 128), opset=21))


def test_constants_that_cannot_be_computed(tmp_path: Path) -> None:
    made = GraphBuilder((4,))
    weight = made.node("Reshape", made.stored(np.ones((4, 3)), 0.25), made.const([5], np.int64))
    y = made.linear(made.node("MatMul", made.linear("x", 0.5), weight), 1.0)
    with pytest.raises(ExchangeError, match="cannot be computed from its constants: cannot resh"):
        import_onnx(made.save(tmp_path / "wrong.onnx", y))
