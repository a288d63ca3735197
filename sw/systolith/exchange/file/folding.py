"""Shape arithmetic and constants in ONNX graphs, computed before the graph is read."""

from collections.abc import Iterator, Mapping
from math import prod
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import (
    AttributeProto,
    GraphProto,
    ModelProto,
    NodeProto,
    TensorProto,
    TypeProto,
    defs,
    helper,
    numpy_helper,
)
from onnx.reference import ReferenceEvaluator

__all__ = ["fold_shapes", "infer_types", "read_constant"]

Array = NDArray[Any]

QUANTIZING = {"BipolarQuant", "DequantizeLinear", "IntQuant", "Quant", "QuantizeLinear", "Trunc"}
KEEP_SHAPE = QUANTIZING | {"MultiThreshold", "QLinearLeakyRelu", "QLinearSigmoid"}
"""Operators whose result has the shape of their first input; ONNX cannot infer all of them."""
TWINS = {
    "QGemm": ("Gemm", slice(0, 4, 3)),
    "QLinearAdd": ("Add", slice(0, 4, 3)),
    "QLinearAveragePool": ("AveragePool", slice(1)),
    "QLinearConcat": ("Concat", slice(2, None, 3)),
    "QLinearGlobalAveragePool": ("GlobalAveragePool", slice(1)),
    "QLinearMul": ("Mul", slice(0, 4, 3)),
}
"""ONNX's operators with results of the same shape, and which inputs they read: ONNX Runtime's own
operators on integers are not known to ONNX."""
OF_SHAPES = {"Shape", "Size"}
NOT_FOLDED = QUANTIZING | {"Constant", "Dropout", "Identity", "If", "Loop", "Scan"}
MAX_ELEMENTS = 4096
"""Constants with more elements do not take part in shape inference."""

NOT_COMPUTED = (Exception,)
"""ONNX's definitions raise any exception that NumPy raises. The node then stays in the graph."""


def fold_shapes(model: ModelProto) -> ModelProto:
    """Replace nodes that depend only on constants and sizes by constants.

    For example, exporters write ``x.view(x.size(0), -1)`` as several nodes that compute a shape.
    The batch is taken as 1. Quantizers and nodes that cannot be computed stay.
    """
    constants = {tensor.name for tensor in model.graph.initializer}
    constants |= {node.output[0] for node in model.graph.node if node.op_type == "Constant"}
    if not any(_foldable(node, constants) for node in model.graph.node):
        return model
    folded = ModelProto()
    folded.CopyFrom(model)
    versions = {opset.domain: opset.version for opset in model.opset_import}
    folding = _Folding(folded.graph, versions)
    kept = [node for node in model.graph.node if not folding.fold(node)]
    del folded.graph.node[:]
    folded.graph.node.extend(_drop_unused(kept, {value.name for value in model.graph.output}))
    for name, array in folding.constants.items():
        if name not in constants:
            folded.graph.initializer.append(numpy_helper.from_array(array, name))
    return folded


def _foldable(node: NodeProto, constants: set[str]) -> bool:
    """Whether a node gives a shape, or reads only constants."""
    if node.op_type in NOT_FOLDED or node.domain:
        return False
    return node.op_type in OF_SHAPES or (
        len(node.input) > 0 and all(name in constants for name in node.input if name)
    )


def read_constant(node: NodeProto) -> Array | None:
    """Read the value of a Constant node; None if it is not an array of numbers."""
    for attribute in node.attribute:
        value = helper.get_attribute_value(attribute)
        if attribute.name == "value":
            return numpy_helper.to_array(value)
        if attribute.name in ("value_float", "value_floats"):
            return np.asarray(value, dtype=np.float32)
        if attribute.name in ("value_int", "value_ints"):
            return np.asarray(value, dtype=np.int64)
    return None


class _Folding:
    """Types and constants of the tensors that were visited so far."""

    def __init__(self, graph: GraphProto, versions: Mapping[str, int]) -> None:
        self.versions = versions
        self.types: dict[str, TypeProto] = {}
        self.stored: dict[str, TensorProto] = {}
        self.constants: dict[str, Array] = {}
        for tensor in graph.initializer:
            self.types[tensor.name] = helper.make_tensor_type_proto(tensor.data_type, tensor.dims)
            self.stored[tensor.name] = tensor
        for value in graph.input:
            if value.name not in self.types:
                self.types[value.name] = _set_one_image(value.type)

    def fold(self, node: NodeProto) -> bool:
        """Visit a node; True if a constant replaces it."""
        if node.op_type == "Constant":
            array = read_constant(node)
            if array is not None:
                self._note(node.output[0], array)
            return False
        if node.domain == "" and node.op_type not in NOT_FOLDED:
            array = self._compute(node)
            if array is not None:
                self._note(node.output[0], array)
                return True
        self.types.update(self._infer(node))
        return False

    def _note(self, name: str, array: Array) -> None:
        element = helper.np_dtype_to_tensor_dtype(array.dtype)
        self.types[name] = helper.make_tensor_type_proto(element, array.shape)
        self.constants[name] = array

    def _constant(self, name: str) -> Array | None:
        """Give a constant; it is decoded on first use."""
        if name not in self.constants and name in self.stored:
            self.constants[name] = numpy_helper.to_array(self.stored[name])
        return self.constants.get(name)

    def _compute(self, node: NodeProto) -> Array | None:
        if len(node.output) != 1:
            return None
        if node.op_type in OF_SHAPES:
            shape = _known_shape(self.types.get(node.input[0]))
            if shape is None:
                return None
            if node.op_type == "Size":
                return np.asarray(prod(shape), dtype=np.int64)
            bounds = {attribute.name: attribute.i for attribute in node.attribute}
            part = shape[bounds.get("start", 0) : bounds.get("end", len(shape))]
            return np.asarray(part, dtype=np.int64)
        names = {name for name in node.input if name}
        if not names or not names <= self.constants.keys() | self.stored.keys():
            return None
        try:
            given = {name: self._constant(name) for name in names}
            (array,) = ReferenceEvaluator(self._alone(node)).run(None, given)
        except NOT_COMPUTED:
            return None
        return np.asarray(array)

    def _alone(self, node: NodeProto) -> ModelProto:
        inputs = [
            helper.make_value_info(name, self.types[name])
            for name in dict.fromkeys(node.input)
            if name
        ]
        output = helper.make_tensor_value_info(node.output[0], TensorProto.UNDEFINED, None)
        graph = helper.make_graph([node], "constants", inputs, [output])
        return helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", self.versions.get("", 1))]
        )

    def _infer(self, node: NodeProto) -> Mapping[str, TypeProto]:
        first = self.types.get(node.input[0]) if node.input else None
        if node.op_type in KEEP_SHAPE and node.domain:
            return {node.output[0]: first} if first is not None else {}
        if node.op_type in TWINS and node.domain:
            node = _twin(node)
        types = {name: self.types[name] for name in node.input if name in self.types}
        if len(types) != len({name for name in node.input if name}):
            return {}
        try:
            data = {
                name: numpy_helper.from_array(array, name)
                for name, given in types.items()
                if prod(_known_shape(given) or (MAX_ELEMENTS + 1,)) <= MAX_ELEMENTS
                and (array := self._constant(name)) is not None
            }
        except NOT_COMPUTED:
            return {}
        return infer_types(node, self.versions, types, data)


def _twin(node: NodeProto) -> NodeProto:
    """Make a node of ONNX whose result has the same shape."""
    op, inputs = TWINS[node.op_type]
    twin = helper.make_node(op, list(node.input)[inputs], node.output)
    known = defs.get_schema(op).attributes
    twin.attribute.extend(attribute for attribute in node.attribute if attribute.name in known)
    return twin


def _set_one_image(given: TypeProto) -> TypeProto:
    single = TypeProto()
    single.CopyFrom(given)
    if single.tensor_type.shape.dim:
        single.tensor_type.shape.dim[0].dim_value = 1
    return single


def _known_shape(of: TypeProto | None) -> tuple[int, ...] | None:
    if of is None or not of.tensor_type.HasField("shape"):
        return None
    sizes = of.tensor_type.shape.dim
    if not all(size.HasField("dim_value") for size in sizes):
        return None
    return tuple(size.dim_value for size in sizes)


def _drop_unused(nodes: list[NodeProto], outputs: set[str]) -> Iterator[NodeProto]:
    """Drop nodes that nothing reads any more."""
    needed, kept = set(outputs), []
    for node in reversed(nodes):
        if needed.intersection(node.output):
            kept.append(node)
            needed.update(node.input)
    return reversed(kept)


DIVISORS = {"blocksize", "group", "num_outputs", "strides"}
"""Attributes that ONNX's inference divides by in C++: a 0 ends the process."""
WITH_GRAPHS = {AttributeProto.GRAPH, AttributeProto.GRAPHS}
"""Attributes of Scan, Loop and If, whose graphs can crash ONNX's inference."""


def infer_types(
    node: NodeProto,
    versions: Mapping[str, int],
    types: Mapping[str, TypeProto],
    data: Mapping[str, TensorProto],
) -> Mapping[str, TypeProto]:
    """Infer the types of a node's results; empty if ONNX cannot, or might crash.

    Parameters
    ----------
    node : NodeProto
    versions : dict of str to int
        Operator set versions by domain; without an entry for ONNX itself, the latest.
    types : dict of str to TypeProto
        Types of all inputs of the node.
    data : dict of str to TensorProto
        Values of those that are constant.
    """
    if any(_crashes(attribute) for attribute in node.attribute):
        return {}
    latest = defs.onnx_opset_version() if not node.domain else 1
    try:
        schema = defs.get_schema(node.op_type, versions.get(node.domain, latest), node.domain)
        inferred: Mapping[str, TypeProto] = onnx.shape_inference.infer_node_outputs(
            schema, node, dict(types), dict(data)
        )
    except Exception:  # ONNX raises exceptions of many types for invalid nodes.
        return {}
    return inferred


def _crashes(attribute: AttributeProto) -> bool:
    if attribute.type in WITH_GRAPHS:
        return True
    values = [attribute.i] if attribute.type == AttributeProto.INT else attribute.ints
    return attribute.name in DIVISORS and any(value < 1 for value in values)
