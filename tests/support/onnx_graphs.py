"""Small quantized ONNX models, drawn at random, and the tools that run them."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import StringStringEntryProto, TensorAnnotation, TensorProto, helper, numpy_helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx.transformation.infer_shapes import InferShapes

from systolith.exchange import ImportedModel, import_onnx
from systolith.network import forward

__all__ = ["MICROSOFT", "QONNX", "GraphBuilder", "equal_to_runtime", "run_qonnx", "run_runtime"]

QONNX = "qonnx.custom_op.general"
MICROSOFT = "com.microsoft"
Floats = NDArray[np.float32]


@dataclass
class GraphBuilder:
    """Writes nodes one after the other; each method gives the name of its result."""

    shape: tuple[int, ...]
    element: int = TensorProto.FLOAT
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[TensorProto] = field(default_factory=list)

    def const(self, values: Any, dtype: Any = np.float32) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values, dtype=dtype), name))
        return name

    def node(self, op: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """One node; an empty name leaves an input out."""
        name = f"{op}_{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(op, inputs, [f"{name}_out"], name=name, domain=domain, **attributes)
        )
        return f"{name}_out"

    def quant(
        self,
        x: str,
        scale: Any,
        zero: float = 0,
        bits: int = 8,
        *,
        signed: int = 1,
        narrow: int = 0,
        rounding: str = "ROUND",
    ) -> str:
        """Quantize as QONNX does."""
        parameters = [self.const(scale), self.const(zero), self.const(bits)]
        return self.node(
            "Quant",
            x,
            *parameters,
            domain=QONNX,
            signed=signed,
            narrow=narrow,
            rounding_mode=rounding,
        )

    def linear(self, x: str, scale: Any, zero: int = 0, dtype: Any = np.uint8) -> str:
        """Quantize and dequantize as ONNX does."""
        parameters = [self.const(scale), self.const(zero, dtype)]
        integers = self.node("QuantizeLinear", x, *parameters)
        return self.node("DequantizeLinear", integers, *parameters)

    def stored(self, integers: Any, scale: Any, zero: Any = 0, dtype: Any = np.int8) -> str:
        """Weights as integers, with one scale for each output channel or one for all."""
        zeros = np.broadcast_to(np.asarray(zero, dtype), np.shape(scale))
        axis = {"axis": 0} if np.ndim(scale) else {}
        given = [self.const(integers, dtype), self.const(scale), self.const(zeros, dtype)]
        return self.node("DequantizeLinear", *given, **axis)

    def save(self, path: Path, *outputs: str, opset: int = 17, batch: int | str = "N") -> Path:
        """Write the model."""
        graph = helper.make_graph(
            self.nodes,
            "drawn",
            [helper.make_tensor_value_info("x", self.element, [batch, *self.shape])],
            [_output(name) for name in outputs],
            initializer=self.constants,
        )
        opsets = [helper.make_opsetid("", opset), helper.make_opsetid(QONNX, 2)]
        opsets.append(helper.make_opsetid(MICROSOFT, 1))
        model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
        onnx.save(model, path)
        return path


def _output(name: str) -> onnx.ValueInfoProto:
    """A result of any shape."""
    kind = TensorProto.INT64 if name.startswith("ArgMax_") else TensorProto.FLOAT
    value = helper.make_tensor_value_info(name, kind, [])
    value.type.tensor_type.ClearField("shape")
    return value


def run_qonnx(path: Path, images: Floats) -> Floats:
    """Compute by qonnx's executor, image by image."""
    model = ModelWrapper(str(path))
    name, result = model.graph.input[0].name, model.graph.output[0].name
    model.set_tensor_shape(name, [1, *images.shape[1:]])
    model = model.transform(InferShapes())
    return np.concatenate([execute_onnx(model, {name: image[None]})[result] for image in images])


def run_runtime(path: Path, images: NDArray[Any], *, optimized: bool = False) -> Floats:
    """Compute by ONNX Runtime, as the file says or with its operators on integers."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    if not optimized:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {session.get_inputs()[0].name: images})[0])


def equal_to_runtime(
    path: Path, images: NDArray[Any] | None = None, *, least: int = 3
) -> ImportedModel:
    """Import a file, and see that its results are those of ONNX Runtime, all of them equal."""
    found = import_onnx(path)
    if images is None:
        shape = found.input.shape
        images = np.random.default_rng(1).normal(0, 4, (16, *shape)).astype(np.float32)
    (ours,) = found.real(forward(found.network, found.quantize_input(images))).values()
    theirs = run_runtime(path, images)
    assert ours.shape == theirs.shape
    assert found.exact and np.array_equal(ours, theirs)
    assert np.unique(ours).size >= least, "too few different results to see anything"
    return found


def annotated(path: Path, **types: str) -> Path:
    """Say of tensors which integers they hold."""
    model = onnx.load(path)
    for name, kind in types.items():
        pair = StringStringEntryProto(key="finn_datatype", value=kind)
        annotation = TensorAnnotation(tensor_name=name, quant_parameter_tensor_names=[pair])
        model.graph.quantization_annotation.append(annotation)
    onnx.save(model, path)
    return path
