"""Problems behind a refused node are reported, too, and its own are not repeated."""

import re
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from systolith.exchange import ExchangeError, import_onnx
from tests.support.onnx_graphs import QONNX, GraphBuilder, equal_to_runtime


def _problems(made: GraphBuilder, y: str, path: Path, opset: int = 17) -> tuple[str, ...]:
    path = made.save(path / "wrong.onnx", y, opset=opset)
    with pytest.raises(ExchangeError) as error:
        import_onnx(path)
    return error.value.problems


def _weights(made: GraphBuilder, *shape: int) -> str:
    return made.stored(np.random.default_rng(0).integers(-9, 10, shape), 0.25)


def test_chain_of_problems_is_told_in_one_go(tmp_path: Path) -> None:
    made = GraphBuilder((4, 8, 8))
    x = made.node("Conv", made.linear("x", 0.5), made.const(np.ones((4, 4, 3, 3))), pads=[1] * 4)
    x = made.node("Conv", x, _weights(made, 4, 4, 3, 3), pads=[1] * 4)
    x = made.node("Hardmax", made.linear(x, 0.5))
    x = made.node("Conv", made.linear(x, 0.5), _weights(made, 4, 2, 3, 3), group=2)
    x = made.node("LpNormalization", x)
    x = made.linear(made.node("Relu", x), 0.5)
    x = made.node("Conv", x, _weights(made, 4, 4, 5, 5), dilations=[0, 1])
    x = made.node("MatMul", made.linear(x, 0.5), _weights(made, 4, 4))
    found = _problems(made, made.linear(x, 0.5), tmp_path)
    words = [
        "(Conv): its weights are float constants",
        "(Conv): its input comes from 'Conv_2' without being quantized: put a quantizer",
        "(Hardmax): not supported: leave it out at the end",
        "(LpNormalization): not supported",
        "(Conv): has dilations [0, 1]",
        "(MatMul): reads images (4, 6, 2); vectors are supported",
    ]
    assert len(found) == len(words)
    for problem, word in zip(found, words, strict=True):
        assert word in problem


def test_what_only_follows_is_not_told(tmp_path: Path) -> None:
    made = GraphBuilder((4, 8, 8))
    x = made.node("Hardmax", made.linear("x", 0.5))
    # Scales and zero points of what is not known cannot be wrong.
    x = made.linear(made.node("Relu", made.linear(x, 1e-9, 7)), 1e3, 0)
    x = made.node("Conv", x, _weights(made, 4, 4, 3, 3))
    x = made.node("Flatten", made.linear(x, 1e-3))
    y = made.node("Gemm", x, _weights(made, 144, 4))
    assert _problems(made, y, tmp_path) == (
        (
            "node 'Hardmax_2' (Hardmax): not supported: leave it out at the end: the host finds "
            "the greatest logit"
        ),
    )


def test_attributes_are_looked_at_behind_what_has_no_known_shape(tmp_path: Path) -> None:
    made = GraphBuilder((4, 8, 8))
    x = made.node("MultiHead", made.linear("x", 0.5), domain=QONNX)
    y = made.node("Gemm", x, _weights(made, 4, 4), transA=1)
    found = _problems(made, y, tmp_path)
    assert len(found) == 2 and "MultiHead" in found[0] and "transposes its" in found[1]


def test_problem_of_a_quantizer_is_told_once_by_its_name(tmp_path: Path) -> None:
    made = GraphBuilder((2, 5, 6))
    y = made.node("Conv", made.linear("x", 0.5), _weights(made, 2, 2, 3, 3))
    parameters = [made.const(1e-12), made.const(0, np.uint8)]
    integers = made.node("QuantizeLinear", y, *parameters)
    first, second = (made.node("DequantizeLinear", integers, *parameters) for _ in range(2))
    (found,) = _problems(made, made.linear(made.node("Add", first, second), 1.0), tmp_path)
    assert found.startswith(
        "node 'QuantizeLinear_4' (QuantizeLinear): has a scale, 1e-12, so small"
    )


def test_layers_that_are_tried_are_called_by_their_nodes_name(tmp_path: Path) -> None:
    made = GraphBuilder((2, 5, 6))
    y = made.node("Conv", made.linear("x", 0.5), _weights(made, 2, 2, 1, 1), pads=[1, 1, 1, 1])
    (found,) = _problems(made, made.linear(y, 1.0), tmp_path)
    assert found.startswith("node 'Conv_3' (Conv): padding must be at least 0 and less than")


def test_batch_norm_of_quantized_parameters(tmp_path: Path) -> None:
    made = GraphBuilder((2, 5, 6))
    y = made.node("Conv", made.linear("x", 0.5, 100), _weights(made, 2, 2, 3, 3))
    factors = made.stored([4, -2], 0.5)
    rest = [made.const(np.array(each)) for each in ([0.5, -1.0], [0.25, 0.5], [4.0, 0.25])]
    y = made.node("BatchNormalization", y, factors, *rest, epsilon=0.0)
    equal_to_runtime(made.save(tmp_path / "normalized.onnx", made.linear(y, 1.0, 128)))


@pytest.mark.parametrize("vector", [False, True])
def test_batch_norm_of_what_is_quantized_already(vector: bool, tmp_path: Path) -> None:
    made = GraphBuilder((2,) if vector else (2, 3, 3))
    x = made.linear("x", 0.5, 100)
    rest = [made.const(each) for each in ([0.5, -1.0], [0.5, -1.0], [0.5, 1.5], [1.0, 4.0])]
    y = made.node("BatchNormalization", x, *rest, epsilon=0.0)
    path = made.save(tmp_path / "normalized.onnx", made.linear(y, 0.5, 128))
    images = np.random.default_rng(1).normal(0, 40, (16, *made.shape)).astype(np.float32)
    found = import_onnx(path)
    assert len(found.network.layers) == 1
    if found.exact:
        equal_to_runtime(path, images)


@pytest.mark.parametrize(
    ("scale", "shape", "words"),
    [
        ([0.5, 0.25], (2, 1, 1), "has scales of shape .* for an activation; one for all"),
        ([0.5, -0.5], (2, 1, 1), "has a scale that is not positive"),
        ([np.nan], (), "has a scale that is not positive"),
    ],
)
def test_scales_of_activations(
    scale: list[float], shape: tuple[int, ...], words: str, tmp_path: Path
) -> None:
    made = GraphBuilder((2, 5, 6))
    y = made.quant("x", np.reshape(scale, shape))
    (found,) = _problems(made, y, tmp_path)
    assert re.search(words, found)


def test_channels_scaled_after_a_relu(tmp_path: Path) -> None:
    made = GraphBuilder((2, 5, 6))
    y = made.node("Conv", made.linear("x", 0.5, 100), _weights(made, 2, 2, 3, 3))
    y = made.node("Mul", made.node("Relu", y), made.const(np.reshape([0.5, 2.0], (2, 1, 1))))
    equal_to_runtime(made.save(tmp_path / "scaled.onnx", made.linear(y, 1.0, 0)))


@pytest.mark.parametrize("op", ["Conv", "MaxPool", "LpPool"])
@pytest.mark.parametrize("computed", [False, True])
def test_strides_of_zero_do_not_end_the_process(op: str, computed: bool, tmp_path: Path) -> None:
    made = GraphBuilder((4, 6, 6))
    inputs = [made.linear("x", 0.5, 0)]
    if op == "Conv":
        inputs.append(_weights(made, 4, 4, 2, 2))
    y = made.linear(made.node(op, *inputs, kernel_shape=[2, 2], strides=[0, 1]), 0.5)
    if computed:
        y = made.node("Reshape", y, made.node("Shape", y))
    (problem,) = _problems(made, y, tmp_path)[:1]
    assert f"({op}): has strides [0, 1]" in problem or f"({op}): not supported" in problem


def test_loops_are_refused_by_name(tmp_path: Path) -> None:
    row = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Add", ["state", "each"], ["next"])],
        "body",
        [row("state", TensorProto.FLOAT, [4]), row("each", TensorProto.FLOAT, [4])],
        [row("next", TensorProto.FLOAT, [4])],
    )
    made = GraphBuilder((6, 4))
    x = made.linear("x", 0.5, 0)
    y = made.node("Scan", made.const(np.zeros(4)), x, body=body, num_scan_inputs=1)
    (problem,) = _problems(made, made.linear(y, 0.5), tmp_path)
    assert "(Scan): not supported: feed-forward convolutional networks are" in problem
