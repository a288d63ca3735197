"""Files that cannot become networks: one message with every problem, before any work."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from systolith.exchange import ExchangeError, import_onnx
from tests.support.onnx_graphs import GraphBuilder


def _weights(made: GraphBuilder, *shape: int) -> str:
    return made.stored(np.ones(shape), 1.0)


def _good(path: Path) -> Path:
    made = GraphBuilder((2, 6, 6))
    y = made.node("Conv", made.linear("x", 1.0), _weights(made, 3, 2, 3, 3))
    return made.save(path, made.linear(y, 4.0))


def _truncated(path: Path) -> None:
    path.write_bytes(_good(path).read_bytes()[:-70])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _text(path: Path) -> None:
    path.write_text("This is no model.\n" * 20)


def _dynamic(path: Path) -> None:
    model = onnx.load(_good(path))
    sizes = model.graph.input[0].type.tensor_type.shape.dim
    sizes[2].dim_param = sizes[3].dim_param = "size"
    onnx.save(model, path)


def _opset(path: Path) -> None:
    model = onnx.load(_good(path))
    model.opset_import[0].version = 99
    onnx.save(model, path)


def _two_inputs(path: Path) -> None:
    model = onnx.load(_good(path))
    model.graph.input.append(helper.make_tensor_value_info("other", TensorProto.FLOAT, [1, 2]))
    onnx.save(model, path)


def _not_sorted(path: Path) -> None:
    model = onnx.load(_good(path))
    nodes = list(reversed(model.graph.node))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.save(model, path)


def _foreign(path: Path) -> None:
    made = GraphBuilder((2, 6, 6))
    made.save(path, made.node("Shuffle", made.linear("x", 1.0), domain="my.own"))


def _lstm(path: Path) -> None:
    made = GraphBuilder((6,))
    x = made.linear("x", 1.0)
    made.save(path, made.node("LSTM", x, x, x, hidden_size=4))


def _three_dimensional(path: Path) -> None:
    made = GraphBuilder((2, 6, 6))
    made.shape = (2, 4, 6, 6)
    made.save(path, made.node("Conv", made.linear("x", 1.0), _weights(made, 3, 2, 3, 3, 3)))


def _one_dimensional(path: Path) -> None:
    made = GraphBuilder((2, 6, 6))
    made.save(path, made.node("Conv", made.linear("x", 1.0), _weights(made, 3, 2, 3)))


def _float_weights(path: Path) -> None:
    made = GraphBuilder((2, 6, 6))
    y = made.node("Conv", made.linear("x", 1.0), made.const(np.ones((3, 2, 3, 3))))
    made.save(path, made.linear(y, 1.0))


def _float_images(path: Path) -> None:
    made = GraphBuilder((2, 6, 6))
    made.save(path, made.linear(made.node("Conv", "x", _weights(made, 3, 2, 3, 3)), 1.0))


def _unquantized_between(path: Path) -> None:
    made = GraphBuilder((2, 6, 6))
    uneven = made.stored(np.ones((2, 2, 3, 3)), [1.0, 0.3])
    y = made.node("Conv", made.linear("x", 1.0), uneven)
    y = made.node("Conv", made.node("Relu", y), _weights(made, 2, 2, 3, 3))
    made.save(path, made.linear(y, 1.0))


def _dynamically_quantized(path: Path) -> None:
    made = GraphBuilder((6,))
    made.nodes.append(helper.make_node("DynamicQuantizeLinear", ["x"], ["y", "scale", "zero"]))
    made.save(path, "y")


def _groups(path: Path) -> None:
    made = GraphBuilder((4, 6, 6))
    y = made.node("Conv", made.linear("x", 1.0), _weights(made, 3, 2, 3, 3), group=2)
    made.save(path, made.linear(y, 1.0))


def _negative_after_a_pool(path: Path) -> None:
    made = GraphBuilder((1, 6, 6))
    y = made.node("Conv", made.linear("x", 1.0), _weights(made, 2, 1, 3, 3))
    y = made.node("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2])
    made.save(path, made.linear(made.node("Mul", y, made.const(-1.0)), 1.0))


def _constants_of_features(path: Path) -> None:
    made = GraphBuilder((1, 4, 4))
    y = made.node("Conv", made.linear("x", 1.0), _weights(made, 2, 1, 3, 3))
    y = made.node("Add", made.node("Flatten", y), made.const(np.arange(8)))
    made.save(path, made.linear(y, 1.0))


def _constants_of_columns(path: Path) -> None:
    made = GraphBuilder((1, 4, 4))
    y = made.node("Conv", made.linear("x", 1.0), _weights(made, 2, 1, 3, 3))
    made.save(path, made.linear(made.node("Add", y, made.const([1, 2])), 1.0))


CASES: dict[Callable[[Path], None], list[str]] = {
    _truncated: ["not an ONNX file, or a truncated one"],
    _empty: ["not an ONNX file, or a truncated one"],
    _text: ["not an ONNX file, or a truncated one"],
    _dynamic: ["sizes that are not known before it runs: (N, 2, size, size)"],
    _opset: ["operator set 99 of ONNX is not known, 9 to"],
    _two_inputs: ["must have one input, the images, got 2: 'x', 'other'"],
    _not_sorted: ["not a valid ONNX model"],
    _foreign: ["operators of domain 'my.own' are not known: Shuffle"],
    _lstm: ["(LSTM): not supported: feed-forward convolutional networks are supported"],
    _three_dimensional: ["input 'x' must hold images (N, C, H, W)"],
    _one_dimensional: ["(Conv): is 1-dimensional; two-dimensional ones are supported"],
    _float_weights: ["(Conv): its weights are float constants: quantize them"],
    _float_images: ["(Conv): its input is the model's float input: put a quantizer before"],
    _unquantized_between: ["without being quantized: put a quantizer"],
    _dynamically_quantized: ["quantize statically"],
    _negative_after_a_pool: ["(Mul): multiplies by a negative constant"],
    _constants_of_features: ["(Add): has a constant for each feature of a flattened image"],
    _constants_of_columns: ["(Add): has constants of shape (2,); one, or one for each channel"],
    _groups: ["(Conv): has 3 filters in 2 groups, which must be equally large"],
}


@pytest.mark.parametrize("make", CASES, ids=lambda make: make.__name__[1:])
def test_refused_with_a_reason(make: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    make(path)
    with pytest.raises(ExchangeError) as error:
        import_onnx(path)
    for words in CASES[make]:
        assert words in str(error.value)
    assert len(error.value.problems) == 1, error.value.problems


def test_the_file_that_the_others_are_made_of_is_good(tmp_path: Path) -> None:
    assert len(import_onnx(_good(tmp_path / "model.onnx")).network.layers) == 1


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(ExchangeError, match="there is no file"):
        import_onnx(tmp_path / "nowhere.onnx")


def test_all_problems_are_told_at_once_and_nothing_that_follows_from_them(tmp_path: Path) -> None:
    made = GraphBuilder((2, 8, 8))
    x = made.linear("x", 1.0)
    first = made.node("Conv", x, made.const(np.ones((2, 2, 3, 3))))
    y = made.linear(made.node("Relu", made.node("Hardmax", made.linear(first, 1.0))), 1.0)
    second = made.node("Conv", x, _weights(made, 2, 2, 3, 3), dilations=[2, 0])
    z = made.linear(made.node("LpNormalization", x), 1.0)
    path = made.save(tmp_path / "model.onnx", y, made.linear(second, 1.0), z)
    with pytest.raises(ExchangeError) as error:
        import_onnx(path)
    found = error.value.problems
    assert len(found) == 4
    assert "(Conv): its weights are float constants" in found[0]
    assert "(Hardmax): not supported: leave it out at the end" in found[1]
    assert "has dilations [2, 0]; two numbers of 1 or more are supported" in found[2]
    assert "(LpNormalization): not supported: use BatchNormalization" in found[3]


@pytest.mark.parametrize("bits", [0, 25])
def test_multiplier_bits_have_a_range(bits: int, tmp_path: Path) -> None:
    path = _good(tmp_path / "model.onnx")
    with pytest.raises(ExchangeError, match=f"multiplier_bits must lie in 1..24, got {bits}"):
        import_onnx(path, multiplier_bits=bits)
