"""What is left to the host at the end, and inputs that a file does not quantize."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from systolith.exchange import ExchangeError, Quantizer, import_onnx
from systolith.exchange.values.open_types import parse_input_type
from systolith.network import ActType, forward
from tests.support.onnx_graphs import MICROSOFT, GraphBuilder, equal_to_runtime, run_runtime

ENDS: dict[str, dict[str, Any]] = {
    "Softmax": {"axis": -1},
    "LogSoftmax": {"axis": 1},
    "ArgMax": {"axis": 1},
    "Sigmoid": {},
}


def _logits(made: GraphBuilder) -> str:
    weight = made.stored(np.random.default_rng(0).integers(-9, 10, (16, 5)), 0.25)
    return made.linear(made.node("Gemm", made.linear("x", 0.125, 100), weight), 0.5, 128)


@pytest.mark.parametrize("quantized", [False, True])
@pytest.mark.parametrize("op", ENDS)
def test_the_network_ends_before_it(op: str, quantized: bool, tmp_path: Path) -> None:
    if op == "ArgMax" and quantized:
        return
    made = GraphBuilder((16,))
    logits = _logits(made)
    plain = equal_to_runtime(made.save(tmp_path / "logits.onnx", logits))
    y = made.node(op, logits, **ENDS[op])
    y = made.linear(y, 2.0**-8, 0) if quantized else y
    found = import_onnx(made.save(tmp_path / "ended.onnx", y))
    ended = next(node for node in made.nodes if node.op_type == op)
    assert found.notes == (
        (
            f"node '{ended.name}' ({op}) at the end is left to the host: the network gives "
            f"'{logits}', which it reads"
        ),
    )
    assert found.tensors == {found.network.outputs[0]: logits}
    assert found.network.layers[0].name == plain.network.layers[0].name
    images = np.random.default_rng(1).normal(0, 4, (16, 16)).astype(np.float32)
    (ours,) = found.real(forward(found.network, found.quantize_input(images))).values()
    assert np.array_equal(ours, run_runtime(tmp_path / "logits.onnx", images))


def test_an_operator_on_integers_ends_it_too(tmp_path: Path) -> None:
    made = GraphBuilder((16,))
    logits = _logits(made)
    integers = made.nodes[-2].output[0]
    scales = [
        made.const(0.5),
        made.const(128, np.uint8),
        made.const(2.0**-8),
        made.const(0, np.uint8),
    ]
    y = made.node("QLinearSoftmax", integers, *scales, domain=MICROSOFT, axis=-1, opset=13)
    y = made.node("DequantizeLinear", y, *scales[2:])
    found = import_onnx(made.save(tmp_path / "integers.onnx", y))
    assert found.tensors == {found.network.outputs[0]: integers}
    assert "(QLinearSoftmax) at the end" in found.notes[0]
    plain = import_onnx(made.save(tmp_path / "logits.onnx", logits))
    assert found.network.outputs == plain.network.outputs and found.scales == plain.scales


@pytest.mark.parametrize(("kernel", "ties"), [([2, 3], True), ([2, 2], False), ([3, 3], False)])
def test_averages_with_true_ties_are_told(kernel: list[int], ties: bool, tmp_path: Path) -> None:
    made = GraphBuilder((2, 6, 6))
    y = made.node("AveragePool", made.linear("x", 0.5, 100), kernel_shape=kernel)
    found = import_onnx(made.save(tmp_path / "ties.onnx", made.linear(y, 0.5, 100)))
    assert len(found.notes) == ties
    if ties:
        assert found.notes[0].startswith("layer 'AveragePool_2' has true ties, sums that give half")


def test_a_softmax_that_something_reads_is_refused(tmp_path: Path) -> None:
    made = GraphBuilder((16,))
    probabilities = made.node("Softmax", _logits(made))
    y = made.linear(made.node("Relu", made.linear(probabilities, 2.0**-8)), 2.0**-8)
    path = made.save(tmp_path / "inner.onnx", y)
    with pytest.raises(ExchangeError, match=r"\(Softmax\): not supported: leave it out"):
        import_onnx(path)
    path = made.save(tmp_path / "both.onnx", y, probabilities)
    with pytest.raises(ExchangeError, match=r"\(Softmax\): not supported: leave it out"):
        import_onnx(path)


def _float_input(path: Path) -> Path:
    made = GraphBuilder((4,))
    weight = made.stored(np.random.default_rng(0).integers(-9, 10, (4, 3)), 0.25)
    return made.save(path, made.linear(made.node("MatMul", "x", weight), 0.5, 128))


@pytest.mark.parametrize(
    "given",
    ["int8:1/16", "int8:0.0625", Quantizer(scale=2.0**-4, type=ActType(bits=8, signed=True))],
)
def test_type_of_an_input_that_the_file_does_not_quantize(given: Any, tmp_path: Path) -> None:
    path = _float_input(tmp_path / "float.onnx")
    with pytest.raises(ExchangeError, match="float input: put a quantizer before, or say what"):
        import_onnx(path)
    found = import_onnx(path, input_type=given)
    assert str(found.network.input.type) == "int8"
    assert found.notes == (
        (
            "the file does not quantize its input: it is read as int8 in steps of 0.0625, and what "
            "lies between two steps is rounded"
        ),
    )
    images = np.random.default_rng(0).integers(-128, 128, (16, 4)).astype(np.float32) / 16
    (ours,) = found.real(forward(found.network, found.quantize_input(images))).values()
    assert np.array_equal(ours, run_runtime(path, images))


def test_type_of_an_input_that_the_file_quantizes_itself_is_refused(tmp_path: Path) -> None:
    made = GraphBuilder((16,))
    path = made.save(tmp_path / "quantized.onnx", _logits(made))
    with pytest.raises(ExchangeError, match="input_type is given, but the file quantizes its inp"):
        import_onnx(path, input_type="uint8:1/8:100")


@pytest.mark.parametrize(
    "given",
    ["int8", "float:1", "int8:0", "int8:-1", "int8:1/0", "int8:nan", "int8:1:1:1", "int8:1e999"],
)
def test_input_types_that_are_none(given: str) -> None:
    with pytest.raises(ExchangeError, match=f"must be TYPE:SCALE or .* got '{given}'"):
        parse_input_type(given)


def test_input_types_that_networks_do_not_have() -> None:
    with pytest.raises(
        ExchangeError, match=r"^input_type int20:1: signed activations need 2\.\.16"
    ):
        parse_input_type("int20:1")
    with pytest.raises(ExchangeError, match="zero_point of unsigned 8-bit activations must lie in"):
        parse_input_type("uint8:1:300")
