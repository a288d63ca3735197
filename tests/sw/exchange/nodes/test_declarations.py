"""Attributes, inputs and results that are not understood are refused by name."""

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import AttributeProto, TensorProto, defs

import systolith.exchange
from systolith.exchange import OPERATORS, ExchangeError, import_onnx
from systolith.exchange.file.loading import LEAST_OPSET
from systolith.exchange.file.model_file import Node
from systolith.exchange.nodes.classes import END_ATTRIBUTES
from systolith.exchange.nodes.declarations import LATEST_OPSET
from tests.support.onnx_graphs import MICROSOFT, GraphBuilder, equal_to_runtime

MODULES = Path(systolith.exchange.__file__).parent
OTHER = {
    AttributeProto.INT: 7,
    AttributeProto.FLOAT: 7.5,
    AttributeProto.STRING: "other",
    AttributeProto.INTS: [7, 7],
    AttributeProto.FLOATS: [7.5],
}


def _read_attributes() -> set[str]:
    """Names by which any module of the package reads an attribute of a node."""
    found = set()
    for path in MODULES.rglob("*.py"):
        for each in ast.walk(ast.parse(path.read_text())):
            match each:
                case ast.Subscript(
                    value=ast.Attribute(attr="attributes"), slice=ast.Constant(value=str(name))
                ):
                    found.add(name)
                case ast.Call(
                    func=ast.Attribute(value=ast.Attribute(attr="attributes"), attr="get"),
                    args=[ast.Constant(value=str(name)), *_],
                ):
                    found.add(name)
    return found


def test_every_attribute_that_is_read_is_declared() -> None:
    declared = {name for each in OPERATORS.values() for name in each.attributes}
    declared.update(END_ATTRIBUTES)
    read = _read_attributes()
    assert "strides" in read and "keepdims" in read
    assert read <= declared


@pytest.mark.parametrize("op", sorted(OPERATORS))
def test_attributes_of_every_operator_set_are_declared_or_refused(op: str) -> None:
    domain = next((each for each in ("", MICROSOFT) if defs.has(op, each)), None)
    if domain is None:
        own = ("Quant", "IntQuant", "BipolarQuant", "MultiThreshold", "Im2Col", "MaxPoolNHWC")
        assert op in own or op.startswith("Q")
        return
    for version in range(LEAST_OPSET, LATEST_OPSET + 1):
        if not defs.has(op, version, domain):
            continue
        for name, schema in defs.get_schema(op, version, domain).attributes.items():
            given = OTHER.get(schema.type)
            if given is None:
                continue
            node = _node(op, {name: given})
            understood, problems = OPERATORS[op].interpret(node, {"": version})
            assert (understood.attributes.get(name) == given) != any(
                str(given).strip("[]") in problem for problem in problems
            ), (version, name)


def _node(op: str, attributes: Mapping[str, Any], inputs: int | None = None) -> Node:
    declared = OPERATORS[op].inputs.split()
    names = [f"i{place}" for place in range(len(declared) if inputs is None else inputs)]
    return Node(name="it", op=op, inputs=tuple(names), outputs=("y",), attributes=attributes)


@pytest.mark.parametrize("op", sorted(OPERATORS))
def test_inputs_of_every_operator(op: str) -> None:
    declared = OPERATORS[op].inputs.split()
    assert OPERATORS[op].interpret(_node(op, {}), {})[1] == []
    more = OPERATORS[op].interpret(_node(op, {}, len(declared) + 1), {})[1]
    refused = [
        f"has {len(declared) + 1} inputs; {len(declared)} are supported, not 'i{len(declared)}'"
    ]
    assert more == ([] if OPERATORS[op].variadic else refused)
    required = sum(not name.endswith("?") for name in declared)
    none = OPERATORS[op].interpret(_node(op, {}, 0), {})[1]
    assert len(none) == required and all("which is required" in problem for problem in none)


@pytest.mark.parametrize("op", sorted(OPERATORS))
def test_an_attribute_that_nobody_knows_is_refused(op: str) -> None:
    understood, problems = OPERATORS[op].interpret(_node(op, {"twist": 3}), {})
    assert problems == ["has twist 3, which is not supported; leave it out"]
    assert understood.attributes.keys() == OPERATORS[op].attributes.keys()


def test_defaults_are_those_of_the_files_operator_set() -> None:
    understood, problems = OPERATORS["ReduceMean"].interpret(_node("ReduceMean", {}), {"": 13})
    assert understood.attributes == {"axes": None, "keepdims": 1, "noop_with_empty_axes": 0}
    assert not problems


def _convolved(made: GraphBuilder, x: str) -> str:
    weight = made.stored(np.random.default_rng(0).integers(-9, 10, (3, 2, 3, 3)), 0.25)
    return made.node("Conv", x, weight)


def _refused(made: GraphBuilder, y: str, path: Path, words: str, opset: int) -> None:
    path = made.save(path / "refused.onnx", made.linear(y, 0.5, 128), opset=opset)
    with pytest.raises(ExchangeError, match=words) as error:
        import_onnx(path)
    assert len(error.value.problems) == 1


def test_batch_norm_in_training_is_refused(tmp_path: Path) -> None:
    made = GraphBuilder((2, 5, 6))
    parameters = [made.const(np.full(3, by)) for by in (1.0, 0.5, 0.25, 4.0)]
    y = made.node(
        "BatchNormalization", _convolved(made, made.linear("x", 0.5)), *parameters, training_mode=1
    )
    made.nodes[-1].output.extend(["mean", "variance"])
    words = r"has training_mode 1, so it reads the batch; export the model for inference"
    _refused(made, y, tmp_path, words, 15)


def test_dilated_averages_are_refused(tmp_path: Path) -> None:
    made = GraphBuilder((2, 4, 4))
    how = {"kernel_shape": [2, 2], "strides": [3, 3], "dilations": [2, 2]}
    y = made.node("AveragePool", made.linear("x", 0.5), **how)
    _refused(made, y, tmp_path, r"is dilated by \(2, 2\); dilations of 1 are supported", 19)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"block_size": 2, "axis": 1}, "has scales for blocks of 2; one scale, or"),
        ({"output_dtype": TensorProto.FLOAT16}, "has output_dtype 10, a type with fewer digits"),
    ],
)
def test_weights_in_blocks_or_of_fewer_digits_are_refused(
    how: dict[str, int], words: str, tmp_path: Path
) -> None:
    made = GraphBuilder((4,))
    x = made.linear("x", 0.5)
    scale = made.const(np.full((2, 3), 0.5)) if "block_size" in how else made.const(0.5)
    weight = made.node("DequantizeLinear", made.const(np.ones((4, 3)), np.int8), scale, **how)
    if "block_size" not in how:
        weight = made.node("Cast", weight, to=TensorProto.FLOAT)
    _refused(made, made.node("MatMul", x, weight), tmp_path, words, 23)


def test_type_of_integers_may_be_an_attribute(tmp_path: Path) -> None:
    made = GraphBuilder((2, 5, 6))
    scale = made.const(0.25)
    x = made.node("QuantizeLinear", "x", scale, output_dtype=TensorProto.INT8)
    y = _convolved(made, made.node("DequantizeLinear", x, scale))
    path = made.save(tmp_path / "typed.onnx", made.linear(y, 2.0, 128), opset=21)
    assert str(equal_to_runtime(path).network.input.type) == "int8"


def test_ceil_mode_adds_windows_that_reach_beyond_the_image(tmp_path: Path) -> None:
    how = {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}
    made = GraphBuilder((2, 4, 6))
    y = made.linear(made.node("MaxPool", made.linear("x", 0.5), **how), 1.0)
    equal_to_runtime(made.save(tmp_path / "same.onnx", y))
    made = GraphBuilder((2, 5, 6))
    y = made.linear(made.node("MaxPool", made.linear("x", 0.5), **how), 1.0)
    assert equal_to_runtime(made.save(tmp_path / "more.onnx", y)).network["MaxPool_2"].padding == (
        (0, 1, 0, 0)
    )


def test_other_results_that_are_read_are_refused(tmp_path: Path) -> None:
    made = GraphBuilder((2, 4, 6))
    y = made.node("MaxPool", made.linear("x", 0.5), kernel_shape=[2, 2])
    made.nodes[-1].output.append("indices")
    path = made.save(tmp_path / "indices.onnx", y, "indices")
    with pytest.raises(ExchangeError, match="its output 'indices' is read; only its first one"):
        import_onnx(path)


@pytest.mark.parametrize("shape", [(3, 1), (3, 3), (1, 4)])
def test_biases_of_rows_are_refused(shape: tuple[int, int], tmp_path: Path) -> None:
    made = GraphBuilder((8,))
    weight = made.stored(np.ones((3, 8)), 0.25)
    bias = made.const(np.arange(shape[0] * shape[1]).reshape(shape))
    y = made.node("Gemm", made.linear("x", 0.5), weight, bias, transB=1)
    path = made.save(tmp_path / "rows.onnx", made.linear(y, 2.0), batch=3)
    words = rf"has a bias of shape \({shape[0]}, {shape[1]}\) for 3 channels; one number, or one"
    with pytest.raises(ExchangeError, match=words):
        import_onnx(path)


@pytest.mark.parametrize("op", ["Conv", "Gemm"])
def test_an_input_left_out_by_an_empty_name(op: str, tmp_path: Path) -> None:
    made = GraphBuilder((2, 5, 6) if op == "Conv" else (8,))
    x = made.linear("x", 0.5, 100)
    shape = (3, 2, 3, 3) if op == "Conv" else (8, 3)
    weight = made.stored(np.random.default_rng(0).integers(-9, 10, shape), 0.25)
    path = made.save(tmp_path / "empty.onnx", made.linear(made.node(op, x, weight, ""), 8.0, 128))
    equal_to_runtime(path)


def test_factors_of_gemm(tmp_path: Path) -> None:
    made = GraphBuilder((4,))
    weight = made.stored(np.random.default_rng(0).integers(-9, 10, (4, 3)), 0.25)
    x, bias = made.linear("x", 0.125, 100), made.const([1.0, 2.0, -3.0])
    y = made.node("Gemm", x, weight, bias, alpha=-0.5, beta=2.0)
    equal_to_runtime(made.save(tmp_path / "factors.onnx", made.linear(y, 0.5, 128)))
