"""Run ONNX models with other tools: ONNX Runtime without optimizations, and qonnx."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, helper, numpy_helper
from qonnx.core.datatype import DataType
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx.custom_op.general.bipolar_quant import binary_quant
from qonnx.custom_op.general.intquant import int_quant
from qonnx.custom_op.general.multithreshold import multithreshold
from qonnx.transformation.infer_shapes import InferShapes

__all__ = ["QONNX_DOMAIN", "TensorValues", "run_model", "run_onnx_node", "run_qonnx"]

TensorValues = NDArray[Any]
QONNX_DOMAIN = "qonnx.custom_op.general"


def run_model(
    model: ModelProto, images: TensorValues, outputs: Sequence[str] = ()
) -> list[TensorValues]:
    """Run a model with ONNX Runtime. Returns its outputs, or the tensors named by `outputs`."""
    if outputs:
        copy = ModelProto()
        copy.CopyFrom(model)
        del copy.graph.output[:]
        copy.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in outputs)
        model = copy
    session = _session(model)
    stored = {tensor.name for tensor in model.graph.initializer}
    (name,) = [tensor.name for tensor in model.graph.input if tensor.name not in stored]
    return [np.asarray(output) for output in session.run(None, {name: images})]


def run_qonnx(
    model: ModelProto, images: TensorValues, outputs: Sequence[str] = ()
) -> list[TensorValues]:
    """Run a model with the executor of qonnx."""
    if len(images) > 1 and any(node.op_type == "Im2Col" for node in model.graph.node):
        # Its Im2Col mixes the images of a batch. A Resize to a size of the whole batch repeats one.
        single = [run_qonnx(model, image[None], outputs) for image in images]
        return [np.concatenate([part[:1] for part in parts]) for parts in zip(*single, strict=True)]
    copy = ModelProto()
    copy.CopyFrom(model)
    wrapped = ModelWrapper(copy)
    stored = {tensor.name for tensor in model.graph.initializer}
    (name,) = [tensor.name for tensor in model.graph.input if tensor.name not in stored]
    wrapped.set_tensor_shape(name, list(images.shape))
    del wrapped.graph.value_info[:]
    wrapped = wrapped.transform(InferShapes())
    for node in wrapped.graph.node:
        if node.op_type == "Im2Col":
            wrapped.set_tensor_datatype(node.input[0], DataType["FLOAT32"])
    context = execute_onnx(wrapped, {name: images}, return_full_exec_context=True)
    names = outputs or [tensor.name for tensor in model.graph.output]
    return [np.asarray(context[name]) for name in names]


def run_onnx_node(
    node: NodeProto, values: Mapping[str, TensorValues], opset: int, ir_version: int
) -> dict[str, TensorValues]:
    """Run one node on arrays. Returns its results by tensor name."""
    if node.domain == QONNX_DOMAIN:
        return {node.output[0]: _run_custom(node, [values[name] for name in node.input])}
    names = [name for name in dict.fromkeys(node.input) if name]
    outputs = [name for name in node.output if name]
    graph = helper.make_graph(
        [node],
        "node",
        [],
        [helper.make_empty_tensor_value_info(name) for name in outputs],
        [numpy_helper.from_array(values[name], name) for name in names],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=max(ir_version, 4))
    results = _session(model).run(None, {})
    return dict(zip(outputs, map(np.asarray, results), strict=True))


def _run_custom(node: NodeProto, inputs: Sequence[TensorValues]) -> TensorValues:
    settings = {item.name: helper.get_attribute_value(item) for item in node.attribute}
    if node.op_type == "BipolarQuant":
        return np.asarray(binary_quant(*inputs), dtype=np.float32)
    if node.op_type == "MultiThreshold":
        factors = settings.get("out_scale", 1.0), settings.get("out_bias", 0.0)
        return np.asarray(multithreshold(*inputs, *factors), dtype=np.float32)
    if node.op_type == "Im2Col":
        return _list_windows(inputs[0], settings)
    mode = settings["rounding_mode"].decode()
    values = int_quant(*inputs, settings["signed"], settings["narrow"], mode)
    return np.asarray(values, dtype=np.float32)


def _list_windows(x: TensorValues, settings: Mapping[str, Any]) -> TensorValues:
    """Write the windows of images (N, H, W, C) one beside the other."""
    (rows, columns), strides = settings["kernel_size"], settings["stride"]
    by_rows, by_columns = settings["dilations"]
    top, left, bottom, right = settings["pad_amount"]
    padded = np.pad(x, [(0, 0), (top, bottom), (left, right), (0, 0)])
    ends = (rows - 1) * by_rows, (columns - 1) * by_columns
    sizes = padded.shape[1] - ends[0], padded.shape[2] - ends[1]
    taps = [
        padded[:, y : y + sizes[0] : strides[0], z : z + sizes[1] : strides[1]]
        for y in range(0, ends[0] + 1, by_rows)
        for z in range(0, ends[1] + 1, by_columns)
    ]
    return np.concatenate(taps, axis=-1) if min(sizes) > 0 else x[:0]


def _session(model: ModelProto) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
