"""Imported networks beside their files' own executors: what agrees, and faults that are found."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from systolith.exchange import (
    OPERATORS,
    Agreement,
    DisagreementError,
    ExchangeError,
    import_onnx,
)
from systolith.exchange.check import agreement
from systolith.exchange.check.agreement import compare_with_executor
from systolith.exchange.check.counterparts import Counterpart
from systolith.network import Conv2d, IntegerNetwork, Layer, Requantize, Rounding, forward
from tests.support.onnx_graphs import QONNX, GraphBuilder, run_runtime

SCALES = (0.5, 1.0, 32.0)
"""Of the input and the two layers."""


def _two_layers(made: GraphBuilder, quantize: Callable[[str, float], str], weights: str) -> str:
    first, second, third = SCALES
    y = quantize(made.node("Relu", made.node("Conv", quantize("x", first), weights)), second)
    return quantize(made.node("Conv", y, weights), third)


def _weights() -> np.ndarray:
    return np.random.default_rng(2).integers(-7, 8, (2, 2, 3, 3))


def _qdq(path: Path) -> Path:
    made = GraphBuilder((2, 8, 8))
    return made.save(path, _two_layers(made, made.linear, made.stored(_weights(), 0.25)))


def _qonnx(path: Path) -> Path:
    made = GraphBuilder((2, 8, 8))
    weights = made.quant(made.const(_weights() / 4), 0.25)
    return made.save(path, _two_layers(made, made.quant, weights))


@pytest.mark.parametrize(
    ("write", "executor"), [(_qdq, "ONNX Runtime "), (_qonnx, "QONNX's executor ")]
)
def test_import_says_what_it_was_compared_with(
    write: Callable[[Path], Path], executor: str, tmp_path: Path
) -> None:
    found = import_onnx(write(tmp_path / "model.onnx")).agreement
    assert found is not None and found.equal
    assert found.executor is not None and found.executor.startswith(executor)
    assert found.images >= 2 and found.values == found.images * 2 * 4 * 4
    assert (found.layers, found.differing, found.apart) == (2, 0, 0)
    assert f"equal to {executor}" in str(found) and f"all {found.values:,} results" in str(found)


def test_nothing_is_compared_if_not_wanted(tmp_path: Path) -> None:
    assert import_onnx(_qdq(tmp_path / "model.onnx"), check=False).agreement is None


def test_files_of_a_fixed_batch_get_it(tmp_path: Path) -> None:
    path = _qdq(tmp_path / "model.onnx")
    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 5
    onnx.save(model, path)
    found = import_onnx(path).agreement
    assert found is not None and found.equal and found.images % 5 == 0


def test_images_that_are_integers_are_drawn_as_integers(tmp_path: Path) -> None:
    path = _qdq(tmp_path / "model.onnx")
    model = onnx.load(path)
    first = next(node for node in model.graph.node if node.op_type == "QuantizeLinear")
    model.graph.node.remove(first)
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
    for node in model.graph.node:
        for place, name in enumerate(node.input):
            if name == first.output[0]:
                node.input[place] = "x"
    zero = next(each for each in model.graph.initializer if each.name == first.input[2])
    model.graph.input[0].type.tensor_type.elem_type = zero.data_type
    onnx.save(model, path)
    found = import_onnx(path).agreement
    assert found is not None and found.equal


def test_why_nothing_was_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _qdq(tmp_path / "model.onnx")
    monkeypatch.setattr(agreement, "EXECUTORS", ())
    found = import_onnx(path).agreement
    assert found is not None and not found.equal
    assert str(found) == "not compared: no program here runs such files"


def test_an_executor_that_fails_is_named_and_the_next_one_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _qdq(tmp_path / "model.onnx")
    model = onnx.load(path)
    model.opset_import[0].version = 21  # What ONNX's reference implements all of.
    onnx.save(model, path)
    runtime, qonnx, reference = agreement.EXECUTORS

    def fail(*_: object) -> None:
        raise RuntimeError("no kernel for this")

    broken = replace(runtime, begin=fail)  # type: ignore[arg-type]
    monkeypatch.setattr(agreement, "EXECUTORS", (broken, qonnx))
    assert "ONNX Runtime" in str(import_onnx(path).agreement)
    assert "does not run it (no kernel for this)" in str(import_onnx(path).agreement)
    monkeypatch.setattr(agreement, "EXECUTORS", (broken, qonnx, reference))
    found = import_onnx(path).agreement
    assert found is not None and found.equal and "reference" in str(found)


def test_a_handler_that_drops_its_node_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = GraphBuilder((2, 8, 8))
    y = made.node("Conv", made.linear("x", 0.5), made.stored(_weights(), 0.25))
    y = made.linear(made.node("Relu", y), 4.0, 0, np.int8)
    path = made.save(tmp_path / "model.onnx", y)
    dropped = replace(OPERATORS["Relu"], run=lambda node, values, made: values[0])
    monkeypatch.setitem(OPERATORS, "Relu", dropped)  # type: ignore[arg-type]
    with pytest.raises(DisagreementError) as error:
        import_onnx(path)
    assert "layer 'Conv_" in str(error.value) and "given the same input" in str(error.value)
    assert import_onnx(path, check=False).agreement is None


def _weight(layer: Conv2d) -> Layer:
    changed = layer.weight.copy()
    changed[1, 0, 2, 1] += 1
    return replace(layer, weight=changed, mask=None)


def _bias(layer: Conv2d) -> Layer:
    return replace(layer, bias=layer.bias + np.array([0, 1]))


def _requantized(**changes: object) -> Callable[[Conv2d], Layer]:
    def change(layer: Conv2d) -> Layer:
        spec: Requantize = replace(layer.requantize, **changes)  # type: ignore[arg-type]
        return replace(layer, requantize=spec)

    return change


FAULTS = {
    "weight": _weight,
    "bias": _bias,
    "ties": _requantized(rounding=Rounding.HALF_UP),
    "floor": _requantized(rounding=Rounding.FLOOR),
    "clamp": _requantized(clamp=(0, 9)),
    "multiplier": _requantized(multiplier=np.array([3]), shift=np.array([5])),
}


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("fault", FAULTS)
def test_one_fault_of_a_layer_is_found_there(fault: str, place: int, tmp_path: Path) -> None:
    path = _qdq(tmp_path / "model.onnx")
    found = import_onnx(path)
    model = onnx.load(path)
    layers = list(found.network.layers)
    outputs = [node.output[0] for node in model.graph.node if node.op_type == "QuantizeLinear"]
    names = ["input", *(layer.name for layer in layers)]
    tensors = {
        name: Counterpart(tensor=tensor, scale=scale, whole=True, places=None)
        for name, tensor, scale in zip(names, outputs, SCALES, strict=True)
    }

    def run(network: IntegerNetwork) -> Agreement:
        return compare_with_executor(model, network, found.input, tensors, found.units)

    assert run(found.network).equal
    conv = layers[place]
    assert isinstance(conv, Conv2d)
    layers[place] = FAULTS[fault](conv)
    with pytest.raises(DisagreementError, match=f"layer '{conv.name}' does not compute"):
        run(replace(found.network, layers=tuple(layers)))


def test_another_input_quantizer_is_found(tmp_path: Path) -> None:
    path = _qdq(tmp_path / "model.onnx")
    found = import_onnx(path)
    other = replace(found.input, quantizer=replace(found.input.quantizer, scale=0.25))
    model = onnx.load(path)
    first = next(node for node in model.graph.node if node.op_type == "QuantizeLinear")
    tensors = {"input": Counterpart(tensor=first.output[0], scale=0.25, whole=True, places=None)}
    with pytest.raises(DisagreementError, match="the input is quantized in another way"):
        compare_with_executor(model, found.network, other, tensors, found.units)


@pytest.mark.parametrize("seed", range(3))
def test_real_scales_agree_but_for_float32(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    made = GraphBuilder((2, 8, 8))
    weights = made.stored(_weights(), float(np.float32(rng.uniform(0.01, 0.1))))

    def quantize(x: str, scale: float) -> str:
        return made.linear(x, float(np.float32(scale * rng.uniform(0.05, 0.2))))

    path = made.save(tmp_path / "model.onnx", _two_layers(made, quantize, weights))
    found = import_onnx(path).agreement
    assert found is not None and found.executor is not None
    assert found.layers == 2 and found.apart <= found.inner / 100


def _logits(path: Path, scale: float | list[float], high: int, bias: list[float]) -> Path:
    made = GraphBuilder((64,))
    integers = np.random.default_rng(0).integers(-high, high, (len(bias), 64))
    axis = {"axis": 0} if isinstance(scale, list) else {}
    zero = made.const(np.zeros(np.shape(scale)), np.int8)
    stored = made.const(integers, np.int8)
    weights = made.node("DequantizeLinear", stored, made.const(scale), zero, **axis)
    y = made.node("Gemm", made.linear("x", 0.125), weights, made.const(bias), transB=1)
    return made.save(path, y)


ROUNDED = {
    "sums of more than 16 bits": (0.25, 128, [0.0] * 3),
    "channels of scales far apart": ([1 / 512, 1 / 512, 1.0], 128, [0.0] * 3),
    "channels of scales without a common step": ([0.3, 0.7, 1.1], 2, [0.0] * 3),
    "biases between two steps": (0.25, 4, [0.1, 0.2, 0.3]),
}


@pytest.mark.parametrize("case", ROUNDED)
def test_results_that_had_to_be_rounded_are_not_exact(case: str, tmp_path: Path) -> None:
    path = _logits(tmp_path / "model.onnx", *ROUNDED[case])
    found = import_onnx(path)
    (name,) = found.network.outputs
    assert not found.exact and found.units[name] >= 0.5
    assert found.rounded == {name: found.scales[name]}
    images = np.random.default_rng(1).normal(0, 8, (200, 64)).astype(np.float32)
    (ours,) = found.real(forward(found.network, found.quantize_input(images))).values()
    theirs = run_runtime(path, images)
    assert (ours != theirs).any()
    float32 = np.abs(theirs).max() * 2.0**-20
    assert np.abs(ours - theirs).max() <= found.units[name] * found.scales[name] + float32


WHOLE = {
    "one scale": (0.25, 4, [0.0] * 3),
    "biases of whole steps": (0.25, 4, [0.25, -1.0, 3.0]),
    "scales that are multiples": ([0.25, 0.5, 0.25], 1, [0.0] * 3),
}


@pytest.mark.parametrize("case", WHOLE)
def test_results_that_fit_16_bits_are_exact(case: str, tmp_path: Path) -> None:
    path = _logits(tmp_path / "model.onnx", *WHOLE[case])
    found = import_onnx(path)
    assert found.exact and not found.rounded
    images = np.random.default_rng(1).normal(0, 8, (200, 64)).astype(np.float32)
    (ours,) = found.real(forward(found.network, found.quantize_input(images))).values()
    assert np.array_equal(ours, run_runtime(path, images))


def test_signs_are_compared_as_signs(tmp_path: Path) -> None:
    made = GraphBuilder((6,))
    weights = made.quant(made.const(np.arange(24).reshape(6, 4) / 8 - 1), 0.25, bits=4)
    x = made.node("BipolarQuant", "x", made.const(1.0), domain=QONNX)
    y = made.node("BipolarQuant", made.node("MatMul", x, weights), made.const(0.5), domain=QONNX)
    found = import_onnx(made.save(tmp_path / "model.onnx", y)).agreement
    assert found is not None and found.equal and found.layers >= 1


def test_disagreement_is_no_bad_input() -> None:
    assert not issubclass(DisagreementError, ExchangeError)
