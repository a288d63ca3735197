"""An ArgMax at the end of a file, found on the chip: the classes of ONNX Runtime."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from systolith.exchange import ExchangeError, Format, export_onnx, import_onnx
from systolith.network import (
    ActType,
    ArgMax,
    IntegerNetwork,
    MaxPool2d,
    Tensor,
    append_argmax,
    forward,
)
from tests.support.onnx_graphs import GraphBuilder, run_runtime


def _vector(made: GraphBuilder) -> str:
    weight = made.stored(np.random.default_rng(0).integers(-9, 10, (16, 5)), 0.25)
    return made.linear(made.node("Gemm", made.linear("x", 0.125, 100), weight), 8.0, 128)


def _image(made: GraphBuilder) -> str:
    weight = made.stored(np.random.default_rng(0).integers(-9, 10, (5, 2, 1, 1)), 0.25)
    return made.linear(made.node("Conv", made.linear("x", 0.125, 100), weight), 8.0, 128)


@pytest.mark.parametrize("keeps", [0, 1])
@pytest.mark.parametrize("image", [False, True])
@pytest.mark.parametrize("before", ["", "Softmax"])
def test_classes_are_those_of_the_runtime(
    before: str, image: bool, keeps: int, tmp_path: Path
) -> None:
    shape = (2, 3, 4) if image else (16,)
    made = GraphBuilder(shape)
    logits = _image(made) if image else _vector(made)
    y = made.node(before, logits, axis=1) if before else logits
    y = made.node("ArgMax", y, axis=1 - len(shape) - 1 if image else 1, keepdims=keeps)
    path = made.save(tmp_path / "class.onnx", y)
    found = import_onnx(path, class_on_chip=True)
    (output,) = found.network.outputs
    assert isinstance(found.network[output], ArgMax) and found.tensors == {output: y}
    assert found.notes == (f"output '{output}' is the class of '{logits}', found on the chip",)
    images = np.random.default_rng(1).normal(0, 8, (40, *shape)).astype(np.float32)
    integers = found.quantize_input(images)
    logit_layer = import_onnx(path).network
    (values,) = forward(logit_layer, integers).values()
    top = np.sort(values, axis=1)
    assert (top[:, -1] == top[:, -2]).any(), "some greatest logits are equal"
    theirs = run_runtime(path, images)
    (ours,) = found.real(forward(found.network, integers)).values()
    assert theirs.dtype == np.int64 and ours.shape == theirs.shape
    assert np.array_equal(ours, theirs)


def test_the_class_of_a_file_without_one(tmp_path: Path) -> None:
    made = GraphBuilder((16,))
    found = import_onnx(made.save(tmp_path / "plain.onnx", _vector(made)), class_on_chip=True)
    assert found.network.outputs == ("Gemm_3_class",)
    assert found.scales == {"Gemm_3_class": 1.0}


@pytest.mark.parametrize(
    ("op", "attributes", "problem"),
    [
        ("ArgMax", {"axis": 0}, "needs axis 1, that of channels, got 0"),
        ("ArgMax", {"axis": 1, "select_last_index": 1}, "the first of equal ones"),
        ("Hardmax", {"axis": 1}, "is that of ArgMax: use it instead"),
    ],
)
def test_other_classes_are_refused(
    op: str, attributes: dict[str, Any], problem: str, tmp_path: Path
) -> None:
    made = GraphBuilder((16,))
    y = made.node(op, _vector(made), **attributes)
    path = made.save(tmp_path / "other.onnx", y)
    with pytest.raises(ExchangeError, match=problem):
        import_onnx(path, class_on_chip=True)
    assert len(import_onnx(path).notes) == 1


def test_a_class_of_rounded_probabilities_is_refused(tmp_path: Path) -> None:
    made = GraphBuilder((16,))
    rounded = made.linear(made.node("Softmax", _vector(made), axis=1), 2.0**-8, 0)
    path = made.save(tmp_path / "rounded.onnx", made.node("ArgMax", rounded, axis=1))
    with pytest.raises(ExchangeError, match="is that of its input: move it behind the ArgMax"):
        import_onnx(path, class_on_chip=True)


@pytest.mark.parametrize("form", list(Format))
def test_classes_are_exported(form: Format, tmp_path: Path) -> None:
    act = ActType(bits=3, signed=True)
    pool = MaxPool2d(name="pool", input="input", kernel_size=(1, 2), stride=(1, 1))
    network = append_argmax(IntegerNetwork(input=Tensor((4, 3, 3), act), layers=(pool,)))
    images = np.random.default_rng(0).integers(act.low, act.high + 1, (9, 4, 3, 3))
    model = export_onnx(network, tmp_path / "m.onnx", form)
    assert model.graph.output[0].type.tensor_type.elem_type == 7, "int64"
    (wanted,) = forward(network, images).values()
    if form is Format.QDQ:
        theirs = run_runtime(tmp_path / "m.onnx", images.astype(np.float32))
        assert np.array_equal(theirs, wanted)
    back = import_onnx(tmp_path / "m.onnx", class_on_chip=True)
    assert np.array_equal(forward(back.network, images)[back.network.outputs[0]], wanted)
    reads = MaxPool2d(name="next", input="pool_class", kernel_size=(1, 1), stride=(1, 1))
    longer = IntegerNetwork(input=network.input, layers=(*network.layers, reads))
    with pytest.raises(ExchangeError, match="'next': reads the classes of 'pool_class'"):
        export_onnx(longer, tmp_path / "n.onnx", form)
