"""Operators of QONNX: equal to hls4ml's graph, computed layer by layer."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import hls4ml
import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.transformation.channels_last import ConvertToChannelsLastAndClean
from qonnx.transformation.gemm_to_matmul import GemmToMatMul
from qonnx.util.cleanup import cleanup_model

from systolith.hls4ml_backend import ConversionError
from systolith.network import trace
from tests.flow.hls4ml_backend.interpreter import interpret


class Builder:
    """Nodes and constants of a QONNX graph of images (1, 2, 6, 6)."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.rng = np.random.default_rng(0)

    def constant(self, value: Any) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, np.float32), name))
        return name

    def node(self, kind: str, *inputs: str, domain: str = "", **settings: Any) -> str:
        name = f"{kind.lower()}_{len(self.nodes)}"
        out = f"{name}_out"
        made = helper.make_node(kind, inputs, [out], name=name, domain=domain, **settings)
        self.nodes.append(made)
        return out

    def quant(self, source: str, bits: int, scale: float, *, signed: bool = True) -> str:
        parameters = [self.constant(value) for value in (scale, 0.0, float(bits))]
        return self.node(
            "Quant",
            source,
            *parameters,
            domain="qonnx.custom_op.general",
            signed=int(signed),
            narrow=0,
            rounding_mode="ROUND",
        )

    def conv(self, source: str, channels: int, filters: int, kernel: int, by: int = 1) -> str:
        weight = self.constant(self.rng.normal(size=(filters, channels, kernel, kernel)))
        return self.node(
            "Conv",
            source,
            self.quant(weight, 4, 0.25),
            kernel_shape=[kernel] * 2,
            pads=[by * (kernel // 2)] * 4,
            strides=[1, 1],
            dilations=[by] * 2,
            group=1,
        )

    def branch(self, source: str) -> str:
        return self.quant(self.conv(source, 3, 3, 1), 6, 0.25)

    def model(self, out: str) -> Any:
        entry = helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 2, 6, 6))
        result = helper.make_tensor_value_info(out, TensorProto.FLOAT, (1, 3, 6, 6))
        graph = helper.make_graph(self.nodes, "graph", [entry], [result], self.constants)
        opsets = [helper.make_opsetid("", 13), helper.make_opsetid("qonnx.custom_op.general", 1)]
        model = cleanup_model(ModelWrapper(helper.make_model(graph, opset_imports=opsets)))
        model = model.transform(ConvertToChannelsLastAndClean(make_input_channels_last=True))
        return cleanup_model(model.transform(GemmToMatMul()))


def converted(operator: Callable[[Builder, str], str], channels: int, folder: Path) -> Any:
    """A convolution, the operator, another convolution."""
    build = Builder()
    x = build.quant("x", 8, 2.0**-5)
    first = build.quant(build.conv(x, 2, 3, 3), 6, 0.125)
    made = build.conv(operator(build, first), channels, 3, 3)
    model = build.model(build.quant(made, 10, 0.0625))
    config = hls4ml.utils.config_from_onnx_model(model, granularity="name", backend="Vitis")
    return hls4ml.converters.convert_from_onnx_model(
        model, hls_config=config, backend="Systolith", output_dir=str(folder), multipliers=8
    )


OPERATORS: dict[str, Callable[[Builder, str], str]] = {
    "Sigmoid": lambda b, x: b.quant(b.node("Sigmoid", x), 6, 2.0**-6, signed=False),
    "Tanh": lambda b, x: b.quant(b.node("Tanh", x), 6, 2.0**-5),
    "Softplus": lambda b, x: b.quant(b.node("Softplus", x), 6, 0.125),
    "LeakyRelu": lambda b, x: b.quant(b.node("LeakyRelu", x, alpha=0.25), 6, 0.125),
    "Mul": lambda b, x: b.quant(b.node("Mul", x, b.branch(x)), 6, 0.125),
    "Sub": lambda b, x: b.quant(b.node("Sub", x, b.branch(x)), 6, 0.125),
    "Max": lambda b, x: b.quant(b.node("Max", x, b.branch(x)), 6, 0.125),
    "Concat": lambda b, x: b.node("Concat", x, b.branch(x), axis=1),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_operators_of_qonnx_are_equal(name: str, tmp_path: Path) -> None:
    graph = converted(OPERATORS[name], 6 if name == "Concat" else 3, tmp_path)
    codes = np.random.default_rng(1).integers(-128, 128, (8, 6, 6, 2))
    x = codes * 2.0**-5
    (wanted,) = interpret(graph, x)
    got = graph.as_floats(trace(graph.mapped.network, graph.quantize(x)), np.float64)
    assert np.array_equal(got, wanted)
    assert graph.checks["model"].startswith("equal to the ONNX model")


def test_an_elu_whose_alpha_hls4ml_does_not_know_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match=r"layer 'Elu_0' .* off the ONNX model's"):
        converted(lambda b, x: b.quant(b.node("Elu", x), 6, 0.125), 3, tmp_path)


def test_dilations_whose_size_hls4ml_computes_wrongly_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match=r"hls4ml says that its output has the shape"):
        converted(lambda b, x: b.quant(b.conv(x, 3, 3, 3, 2), 6, 0.125), 3, tmp_path)
