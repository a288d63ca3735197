"""What is read is compared with what hls4ml says of it: shapes, attributes, names of tensors."""

from pathlib import Path
from typing import Any

import hls4ml
import keras
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx.util.cleanup import cleanup_model
from torch import nn

from systolith.hls4ml_backend import ConversionError
from systolith.hls4ml_backend.mapping import map_graph
from systolith.network import trace
from tests.flow.hls4ml_backend.comparing import convert, problems, quantized
from tests.flow.hls4ml_backend.keras_models import keras_config


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Conv2d(3, 4, 3, dilation=(1, 2)), (3, 9, 11)),
        (nn.Conv1d(3, 4, 5, padding="same"), (3, 16)),
    ],
)
def test_pytorch_layers_whose_shape_is_another_are_refused(
    layer: nn.Module, shape: tuple[int, ...], tmp_path: Path
) -> None:
    model = nn.Sequential(layer, nn.ReLU())
    (found,) = problems(model, quantized(model, shape), tmp_path)
    assert found.startswith("layer '_0'") and "dilation" in found


def test_keras_layers_whose_shape_is_another_are_refused(tmp_path: Path) -> None:
    entry = keras.layers.Input((9, 11, 3))
    model = keras.Model(entry, keras.layers.Conv2D(4, 3, dilation_rate=2, name="conv")(entry))
    with pytest.raises(ConversionError) as refused:
        hls4ml.converters.convert_from_keras_model(
            model,
            hls_config=keras_config(model),
            backend="Systolith",
            output_dir=str(tmp_path),
            check_model=False,
        )
    (found,) = refused.value.problems
    assert "layer 'conv': hls4ml says that its output has the shape (5, 7, 4)" in found
    assert "it has (7, 9, 4)" in found


def reshaped_qonnx(seed: int) -> Any:
    """A vector that was a matrix, a dense layer."""
    rng = np.random.default_rng(seed)
    domain = "qonnx.custom_op.general"
    constants = [
        numpy_helper.from_array(np.asarray(value, dtype), name)
        for name, value, dtype in (
            ("scale", 0.25, np.float32),
            ("zero", 0, np.float32),
            ("bits", 8, np.float32),
            ("matrix", rng.normal(size=(8, 4)), np.float32),
            ("shape", [1, 8], np.int64),
        )
    ]

    def quant(source: str, out: str) -> onnx.NodeProto:
        settings = {"signed": 1, "narrow": 0, "rounding_mode": "ROUND"}
        inputs = [source, "scale", "zero", "bits"]
        return helper.make_node("Quant", inputs, [out], domain=domain, **settings)

    nodes = [
        quant("x", "quantized"),
        helper.make_node("Reshape", ["quantized", "shape"], ["flat"]),
        quant("matrix", "weight"),
        helper.make_node("MatMul", ["flat", "weight"], ["sums"]),
        quant("sums", "y"),
    ]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
        constants,
    )
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid(domain, 1)]
    return cleanup_model(ModelWrapper(helper.make_model(graph, opset_imports=opsets)))


def test_onnx_reshapes_are_an_order_of_elements(tmp_path: Path) -> None:
    model = reshaped_qonnx(0)
    x = (np.random.default_rng(1).integers(-40, 40, (6, 2, 4)) / 4).astype(np.float32)
    entry, result = model.graph.input[0].name, model.graph.output[0].name
    expected = [execute_onnx(model, {entry: image[None]})[result][0] for image in x]
    config = hls4ml.utils.config_from_onnx_model(
        model, granularity="name", backend="Vitis", default_precision="ap_fixed<16,8>"
    )
    converted = hls4ml.converters.convert_from_onnx_model(
        model, hls_config=config, backend="Systolith", output_dir=str(tmp_path)
    )
    got = converted.as_floats(trace(converted.mapped.network, converted.quantize(x)), np.float64)
    assert np.array_equal(got, expected)


def converted_pair(folder: Path) -> Any:
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU())
    return convert(model, quantized(model, (4,)), folder)


def test_attributes_that_are_not_understood_are_refused_by_name(tmp_path: Path) -> None:
    graph = converted_pair(tmp_path)
    first, second = (graph.graph[name] for name in ("_0", "_1"))
    first.set_attr("rotation", 3)
    second.set_attr("data_format", "channels_first")
    with pytest.raises(ConversionError) as refused:
        map_graph(graph)
    found = refused.value.problems
    assert "layer '_0': has the attribute rotation = 3, which is not understood" in found[0]
    assert "layer '_1': data_format must be channels_last" in found[1]
    assert len(found) == 2


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("dilation_width", 0, "dilation_width must be an integer of at least 1"),
        ("group", 2, "group must be 1"),
        ("pad_left", "s", "pad_left must be an integer of at least 0"),
        ("stride_width", 0, "stride_width must be an integer of at least 1"),
    ],
)
def test_settings_of_convolutions_are_checked(
    name: str, value: object, message: str, tmp_path: Path
) -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 2))
    graph = convert(model, quantized(model, (1, 4, 4)), tmp_path)
    graph.graph["_0"].set_attr(name, value)
    with pytest.raises(ConversionError, match=f"layer '_0': {message}"):
        map_graph(graph)


def test_tensors_that_no_layer_gives_are_named(tmp_path: Path) -> None:
    graph = converted_pair(tmp_path)
    graph.graph["_0"].inputs = ["nowhere"]
    with pytest.raises(ConversionError, match="layer '_0': reads 'nowhere', which no layer gives"):
        map_graph(graph)


def test_layers_with_too_many_inputs_are_named(tmp_path: Path) -> None:
    graph = converted_pair(tmp_path)
    graph.graph["_1"].inputs = ["_0", "_0"]
    with pytest.raises(ConversionError, match="layer '_1': needs 1 input, got _0, _0"):
        map_graph(graph)


def test_reshapes_to_another_size_and_wrong_axes_are_named(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 2), nn.Flatten(), nn.Linear(18, 2))
    graph = convert(model, quantized(model, (1, 4, 4)), tmp_path)
    (transpose,) = (node for node in graph.get_layers() if node.class_name == "Transpose")
    transpose.set_attr("perm", [0, 0, 1])
    with pytest.raises(ConversionError, match=r"permutes the axes .* by \(0, 0, 1\)"):
        map_graph(graph)
    transpose.set_attr("perm", [2, 0, 1])
    graph.graph["_1"].get_output_variable().shape = [17]
    with pytest.raises(ConversionError, match=r"layer '_1': gives .* the shape \(17,\)"):
        map_graph(graph)
