"""Functions of each value: tables, equal to ONNX Runtime's results for every integer."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from systolith.exchange import ExchangeError, import_onnx
from systolith.exchange.nodes.tables.functions import FUNCTIONS
from systolith.network import Conv2d, Flatten, MaxPool2d, Table, forward
from tests.support.onnx_graphs import GraphBuilder, run_qonnx, run_runtime

CODES = np.arange(256, dtype=np.float32).reshape(1, 4, 8, 8)
ATTRIBUTES = {
    "Elu": [{}, {"alpha": 0.5}],
    "Celu": [{"alpha": 0.5}],
    "LeakyRelu": [{}, {"alpha": 0.3}],
    "ThresholdedRelu": [{"alpha": 0.25}],
    "HardSigmoid": [{}, {"alpha": 0.1, "beta": 0.4}],
    "Gelu": [{}, {"approximate": "tanh"}],
    "Shrink": [{"lambd": 0.5, "bias": 0.25}],
}
EXTRA = {"Pow": 2.0, "PRelu": [0.3]}
CASES = [
    pytest.param(name, attributes, id=f"{name}{attributes or ''}")
    for name in FUNCTIONS
    if name != "Gather"
    for attributes in ATTRIBUTES.get(name, [{}])
]

Function = Callable[[GraphBuilder, str], str]
COMPOSITES: dict[str, Function] = {
    "silu": lambda made, x: made.node("Mul", x, made.node("Sigmoid", x)),
    "silu quantized between": lambda made, x: made.node(
        "Mul", made.linear(made.node("Sigmoid", x), 1 / 256), x
    ),
    "hardswish": lambda made, x: made.node(
        "Div",
        made.node(
            "Mul",
            x,
            made.node(
                "Clip",
                made.node("Tanh", made.node("Mul", x, made.const(3.0))),
                made.const(0.0),
                made.const(0.75),
            ),
        ),
        made.const(6.0),
    ),
    "gelu": lambda made, x: made.node(
        "Mul",
        made.node("Mul", x, made.const(0.5)),
        made.node(
            "Add", made.node("Erf", made.node("Div", x, made.const(1.4142135))), made.const(1.0)
        ),
    ),
    "square": lambda made, x: made.node("Mul", x, x),
    "sum with a function": lambda made, x: made.node("Add", made.node("Tanh", x), x),
    "relu behind a function": lambda made, x: made.node("Relu", made.node("Sin", x)),
    "one minus": lambda made, x: made.node("Sub", made.const(1.0), made.node("Exp", x)),
}


def _file(
    path: Path, function: Function, *, signed: bool = True, scale: float = 0.043, opset: int = 20
) -> tuple[Path, np.ndarray]:
    """A function between two quantizers, and an image with every integer."""
    made = GraphBuilder((4, 8, 8))
    dtype, zero = (np.int8, -3) if signed else (np.uint8, 100)
    x = made.linear("x", np.float32(scale), zero, dtype)
    y = made.linear(function(made, x), np.float32(0.0173), 5, np.int8)
    image = (CODES - zero + (-128 if signed else 0)) * np.float32(scale)
    return made.save(path / "function.onnx", y, opset=opset), image.astype(np.float32)


def _assert_equal(path: Path, image: np.ndarray, tables: int = 1) -> None:
    model = import_onnx(path)
    network = model.network
    assert [type(layer) for layer in network.layers] == [Table] * tables
    integers = model.quantize_input(image)
    assert len(np.unique(integers)) == 256
    (real,) = model.real(forward(network, integers)).values()
    assert np.array_equal(real.astype(np.float32), run_runtime(path, image))


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize(("name", "attributes"), CASES)
def test_every_integer_equals_onnx_runtime(
    name: str, attributes: dict[str, object], signed: bool, tmp_path: Path
) -> None:
    def function(made: GraphBuilder, x: str) -> str:
        more = [made.const(EXTRA[name])] if name in EXTRA else []
        if name in ("Log", "Sqrt", "Reciprocal"):
            x = made.node("Add", made.node("Abs", x), made.const(0.5))
        y = made.node(name, x, *more, **attributes)
        # A sigmoid at the end is left to the host.
        return made.node("Mul", y, made.const(1.5)) if name == "Sigmoid" else y

    _assert_equal(*_file(tmp_path, function, signed=signed))


@pytest.mark.parametrize("name", COMPOSITES)
def test_arithmetic_of_functions_of_one_tensor_is_one_table(name: str, tmp_path: Path) -> None:
    _assert_equal(*_file(tmp_path, COMPOSITES[name]))


def test_qonnx_has_functions_too(tmp_path: Path) -> None:
    made = GraphBuilder((4, 8, 8))
    x = made.quant("x", 0.03125)
    y = made.quant(made.node("Tanh", x), 0.0078125)
    path = made.save(tmp_path / "function.onnx", y)
    image = (CODES - 128) * np.float32(0.03125)
    model = import_onnx(path)
    (real,) = model.real(forward(model.network, model.quantize_input(image))).values()
    assert np.array_equal(real.astype(np.float32), run_qonnx(path, image))


def test_a_function_behind_a_flattening_moves_in_front_of_it(tmp_path: Path) -> None:
    made = GraphBuilder((4, 8, 8))
    x = made.node("Flatten", made.linear("x", 0.043, 0, np.int8))
    path = made.save(tmp_path / "flat.onnx", made.linear(made.node("Tanh", x), 0.01, 0, np.int8))
    model = import_onnx(path)
    assert [type(layer) for layer in model.network.layers] == [Flatten, Table, Flatten] or [
        type(layer) for layer in model.network.layers
    ] == [Table, Flatten]
    image = (CODES - 128) * np.float32(0.043)
    (real,) = model.real(forward(model.network, model.quantize_input(image))).values()
    assert np.array_equal(real.astype(np.float32), run_runtime(path, image))


def test_layers_before_and_behind_a_function(tmp_path: Path) -> None:
    made = GraphBuilder((2, 6, 6))
    rng = np.random.default_rng(0)
    x = made.linear("x", 1 / 128)
    weight = made.stored(rng.integers(-128, 128, (4, 2, 3, 3)), np.float32(0.01))
    y = made.linear(made.node("Conv", x, weight), 0.05, 0, np.int8)
    y = made.linear(made.node("HardSwish", y), 0.04, 0, np.int8)
    y = made.node("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2])
    model = import_onnx(made.save(tmp_path / "net.onnx", y))
    assert [type(layer) for layer in model.network.layers] == [Conv2d, Table, MaxPool2d]
    assert model.agreement is not None and not model.agreement.differing


@pytest.mark.parametrize(
    ("function", "problem"),
    [
        (
            lambda made, x: made.node(
                "Div", x, made.linear(made.node("MaxPool", x, kernel_shape=[1, 1]), 0.5)
            ),
            "divides by what the model computes",
        ),
        (
            lambda made, x: made.node("Pow", x, made.const(np.ones((4, 1, 1)))),
            r"has constants of shape \(4, 1, 1\); one number is supported here",
        ),
    ],
)
def test_what_is_no_function_of_one_value_is_refused(
    function: Function, problem: str, tmp_path: Path
) -> None:
    path, _ = _file(tmp_path, function)
    with pytest.raises(ExchangeError, match=problem):
        import_onnx(path)
