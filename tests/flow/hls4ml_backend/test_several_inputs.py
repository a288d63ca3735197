"""Models of several inputs, which are channels of one tensor: the numbers of hls4ml's C++."""

import copy
from pathlib import Path
from typing import Any

import hls4ml
import keras
import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.transformation.channels_last import ConvertToChannelsLastAndClean
from qonnx.util.cleanup import cleanup_model
from torch import Tensor, nn

from systolith.hls4ml_backend.checks import check_csimulation
from systolith.network import SelectChannels, trace
from tests.flow.hls4ml_backend.comparing import SMALL, convert, problems, quantized
from tests.flow.hls4ml_backend.interpreter import interpret
from tests.flow.hls4ml_backend.keras_models import keras_config


class Meeting(nn.Module):
    """Two images that meet in a concatenation, a sum and a product."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 3, 3, padding=1), nn.Conv2d(2, 3, 1)
        self.last, self.relu = nn.Conv2d(6, 2, 2), nn.ReLU()

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        x, y = self.relu(self.first(a)), self.second(b)
        joined = torch.cat((x, torch.mul(torch.add(x, y), y)), dim=1)
        return self.last(joined)


class Vectors(nn.Module):
    """Two vectors of different lengths, and one that meets the other without a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(5, 3), nn.Linear(6, 2)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.last(torch.cat((self.first(a), b), dim=1))


def _draw(graph: Any, count: int) -> list[Any]:
    kind, rng = graph.mapped.input, np.random.default_rng(0)
    shapes = [(count, *view.shape) for view in graph.mapped.input_views]
    codes = [rng.integers(kind.low, kind.high + 1, shape) for shape in shapes]
    return [np.ldexp(code.astype(float), -kind.fraction) for code in codes]


def _equals_interpreter(graph: Any) -> None:
    x = _draw(graph, 6)
    ours = graph.as_floats(trace(graph.mapped.network, graph.quantize(x)), np.float64)
    (wanted,) = interpret(graph, *x)
    assert np.array_equal(ours, wanted)
    assert graph.checks["model"].startswith("equal to the ")


@pytest.mark.parametrize(
    ("model", "shapes"), [(Meeting, [(1, 4, 5), (2, 4, 5)]), (Vectors, [(5,), (3,)])]
)
def test_pytorch(model: type[nn.Module], shapes: list[Any], tmp_path: Path) -> None:
    torch.manual_seed(0)
    made = model()
    graph = convert(made, quantized(made, shapes), tmp_path, multipliers=8)
    assert sum(isinstance(layer, SelectChannels) for layer in graph.mapped.network.layers) == 2
    _equals_interpreter(graph)


def test_the_verilog_and_the_c_simulation_take_a_list(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Meeting()
    graph = convert(model, quantized(model, [(1, 4, 5), (2, 4, 5)]), tmp_path, **SMALL)
    graph.compile()
    x = [part.astype(np.float32) for part in _draw(graph, 3)]
    predicted = graph.predict(x)
    (wanted,) = interpret(graph, *(part.astype(float) for part in x))
    assert np.array_equal(predicted, wanted)
    assert np.array_equal(graph.trace(x)[0], predicted)
    checked = check_csimulation(graph, tmp_path / "csimulation")
    assert checked == "equal to hls4ml's C simulation (Vitis) on 8 random inputs"
    with pytest.raises(ValueError, match="^x must hold 2 inputs, got 1$"):
        graph.predict(x[0])
    with pytest.raises(ValueError, match="^all inputs must hold as many samples, got 3 and 2$"):
        graph.predict([x[0], x[1][:2]])


def test_keras(tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    layers = keras.layers
    a, b = layers.Input((4, 5, 2), name="a"), layers.Input((4, 5, 1), name="b")
    x, y = layers.Conv2D(3, 1, activation="relu")(a), layers.Conv2D(3, 3, padding="same")(b)
    joined = layers.Concatenate()([layers.Add()([x, y]), layers.Multiply()([x, y])])
    model = keras.Model([b, a], layers.Conv2D(2, 2)(joined))
    graph = hls4ml.converters.convert_from_keras_model(
        model, hls_config=copy.deepcopy(keras_config(model)), backend="Systolith",
        io_type="io_stream", output_dir=str(tmp_path / "keras"), multipliers=8,
    )  # fmt: skip
    _equals_interpreter(graph)


def test_onnx(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    constants, nodes = [], []
    for name, shape in (("k", (3, 2, 1, 1)), ("l", (3, 1, 1, 1))):
        values = (rng.integers(-8, 8, shape) / 4).astype(np.float32)
        constants.append(numpy_helper.from_array(values, name))
    for source, kernel in (("a", "k"), ("b", "l")):
        nodes.append(
            helper.make_node(
                "Conv", [source, kernel], [f"{source}_c"], name=f"conv_{source}", group=1,
                kernel_shape=[1, 1], pads=[0] * 4, strides=[1, 1], dilations=[1, 1],
            )
        )  # fmt: skip
    nodes.append(helper.make_node("Add", ["a_c", "b_c"], ["s"], name="add"))
    nodes.append(helper.make_node("Relu", ["s"], ["y"], name="relu"))
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, channels, 4, 5])
        for name, channels in (("a", 2), ("b", 1), ("y", 3))
    ]
    proto = helper.make_model(
        helper.make_graph(nodes, "graph", values[:2], values[2:], constants),
        opset_imports=[helper.make_opsetid("", 13)],
    )
    model = cleanup_model(ModelWrapper(proto)).transform(
        ConvertToChannelsLastAndClean(make_input_channels_last=True)
    )
    model = cleanup_model(model)
    config = hls4ml.utils.config_from_onnx_model(model, granularity="name", backend="Vitis")
    for section in config["LayerName"].values():
        for key in section["Precision"]:
            section["Precision"][key] = "auto" if key == "accum" else "ap_fixed<9,3,AP_RND,AP_SAT>"
    graph = hls4ml.converters.convert_from_onnx_model(
        model, hls_config=config, backend="Systolith", io_type="io_stream",
        output_dir=str(tmp_path / "onnx"), multipliers=8,
    )  # fmt: skip
    _equals_interpreter(graph)


def test_inputs_that_differ_are_refused(tmp_path: Path) -> None:
    model = Meeting()
    config = quantized(model, [(1, 4, 5), (2, 4, 5)])
    config["LayerName"]["b"]["Precision"]["result"] = "ap_fixed<8,3>"
    (problem,) = problems(model, config, tmp_path)
    assert problem == (
        "layer 'b': has the type ap_fixed<8,3,AP_TRN,AP_WRAP>, and input 'a' "
        "ap_fixed<9,3,AP_RND,AP_SAT>; several inputs are channels of one tensor: give all the "
        "same Precision"
    )


def test_inputs_of_other_sizes_are_refused(tmp_path: Path) -> None:
    class Sizes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(1, 3, 2), nn.Conv2d(2, 3, 1)

        def forward(self, a: Tensor, b: Tensor) -> Tensor:
            return torch.add(self.first(a), self.second(b))

    model = Sizes()
    (problem,) = problems(model, quantized(model, [(1, 5, 6), (2, 4, 5)]), tmp_path)
    assert problem == (
        "layer 'b': has (4, 5) pixels, and input 'a' (5, 6); several inputs are channels of one "
        "tensor: pad or upsample on the host"
    )
