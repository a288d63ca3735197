"""Files whose input has no axis of the batch, and that put one in front of it themselves."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from systolith.exchange import ExchangeError, import_onnx
from systolith.network import forward
from tests.support.onnx_graphs import GraphBuilder

NOTE = "input 'x' has no axis of the batch, the file adds it: all 2 axes are one image"


def _moments(path: Path, opset: int, length: int | str = "T") -> Path:
    """A convolution along the first axis of the input."""
    made = GraphBuilder((4,))
    axes = [made.const([0], np.int64)] if opset > 11 else []
    more = {} if opset > 11 else {"axes": [0]}
    x = made.node("Transpose", made.node("Unsqueeze", "x", *axes, **more), perm=[0, 2, 1])
    weights = made.stored(np.random.default_rng(0).integers(-9, 10, (3, 4, 3)), 0.25)
    y = made.node("Conv", made.linear(x, 0.125, 100), weights)
    y = made.node("Transpose", made.linear(y, 2.0, 128), perm=[0, 2, 1])
    y = made.node("Squeeze", y, *axes, **more)
    return made.save(path, y, opset=opset, batch=length)


@pytest.mark.parametrize("opset", [10, 17])
def test_all_axes_are_one_image(opset: int, tmp_path: Path) -> None:
    path = _moments(tmp_path / "moments.onnx", opset)
    found = import_onnx(path, input_shape=(9, 4))
    assert found.notes == (f"{NOTE}, and results have a batch, too",)
    assert found.agreement is not None and found.agreement.equal and found.exact
    images = np.random.default_rng(1).normal(0, 4, (5, 9, 4)).astype(np.float32)
    (ours,) = found.real(forward(found.network, found.quantize_input(images))).values()
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    theirs = np.stack([session.run(None, {"x": image})[0] for image in images])
    assert np.unique(ours).size > 9 and np.array_equal(ours, theirs)


@pytest.mark.parametrize("length", ["T", -1])
def test_sizes_of_it_have_to_be_known(length: int | str, tmp_path: Path) -> None:
    path = _moments(tmp_path / "moments.onnx", 17, length)
    with pytest.raises(ExchangeError, match=r"give the sizes of an image .*; " + NOTE):
        import_onnx(path)
    assert import_onnx(_moments(tmp_path / "fixed.onnx", 17, 9)).input.shape == (9, 4)


def test_a_batch_that_is_taken_off_before_the_end_is_refused(tmp_path: Path) -> None:
    made = GraphBuilder((4,))
    axes = made.const([0], np.int64)
    y = made.linear(made.node("Unsqueeze", "x", axes), 0.125, 100)
    y = made.node("MatMul", made.node("Squeeze", y, axes), made.stored(np.ones((4, 3)), 0.25))
    path = made.save(tmp_path / "early.onnx", made.linear(y, 2.0, 128), batch=2)
    with pytest.raises(ExchangeError, match=r"\(Squeeze\): names axes \[0\]"):
        import_onnx(path)


def test_one_result_in_two_outputs(tmp_path: Path) -> None:
    path = _moments(tmp_path / "moments.onnx", 17, 9)
    model = onnx.load(path)
    last = model.graph.node[-1]
    model.graph.node.append(helper.make_node("Squeeze", list(last.input), ["again"], name="more"))
    model.graph.output.append(helper.make_tensor_value_info("again", TensorProto.FLOAT, None))
    onnx.save(model, path)
    with pytest.raises(ExchangeError, match=r"\(Squeeze\): names axes \[0\]"):
        import_onnx(path)


def test_a_constant_node_may_hold_the_axes(tmp_path: Path) -> None:
    path = _moments(tmp_path / "moments.onnx", 17, 9)
    model = onnx.load(path)
    (axes,) = (each for each in model.graph.initializer if each.name == "c0")
    model.graph.initializer.remove(axes)
    value = numpy_helper.from_array(numpy_helper.to_array(axes))
    model.graph.node.insert(0, helper.make_node("Constant", [], ["c0"], value=value))
    onnx.save(model, path)
    found = import_onnx(path)
    assert found.input.shape == (9, 4)
