"""What a node gives that a problem was reported about, so that later nodes are looked at, too."""

from collections.abc import Mapping, Sequence
from math import inf
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from systolith.exchange.inference import inferred_types
from systolith.exchange.layouts import shape_of
from systolith.exchange.model_file import Node
from systolith.exchange.values import (
    Absent,
    Activation,
    Constant,
    Integers,
    Pending,
    QuantizedConstant,
    Unknown,
    Value,
)
from systolith.network import ActType, Flatten, Layer, Shape, Tensor

__all__ = ["standing_in"]

COMPUTES = {"AveragePool", "Conv", "Gemm", "GlobalAveragePool", "MatMul", "ReduceMean"}
"""What these give waits to be quantized."""
SAME_SHAPE = {"BipolarQuant", "IntQuant", "MultiThreshold", "Quant", "Trunc"}
"""Of domains that ONNX knows nothing of; and all that ONNX Runtime calls QLinear.. of one input."""

NOT_KNOWN = (KeyError, RuntimeError, TypeError, ValueError)
"""What is raised where a node or what it reads makes no sense."""


def standing_in(
    node: Node, values: Sequence[Value], opsets: Mapping[str, int]
) -> Unknown | Activation | Pending:
    """Make a value of the shape that the node's result has, or none if that is not known."""
    if all(isinstance(value, Absent | Constant | QuantizedConstant) for value in values):
        return Unknown()
    shape = _shape(node, values, opsets)
    if shape is None or len(shape) not in (1, 3) or min(shape) < 1:
        return Unknown()
    if node.op not in COMPUTES:
        tensor = Tensor(shape, ActType(bits=8, signed=True))
        return Activation(layer="unknown", tensor=tensor, scale=1.0)

    def emit(name: str, *_: object) -> Layer:
        return Flatten(name=name, input="unknown")

    return Pending(
        name=node.name,
        shape=shape,
        result=shape,
        emit=emit,
        accumulated=lambda bias: (0, 0),
        scale=np.ones(shape[0]),
        offset=np.zeros(shape[0]),
        biased=True,
        error=inf,
    )


def _shape(node: Node, values: Sequence[Value], opsets: Mapping[str, int]) -> Shape | None:
    """Shape of a result without the batch, as ONNX infers it."""
    first = shape_of(values[0]) if values else None
    if node.op in SAME_SHAPE:
        return first
    domain = "" if node.domain == "ai.onnx" else node.domain
    try:
        proto = helper.make_node(
            node.op, node.inputs, node.outputs, domain=domain, **node.attributes
        )
        types, data = {}, {}
        for name, value in zip(node.inputs, values, strict=False):
            if isinstance(value, Absent):
                continue
            types[name] = _type(value)
            if isinstance(value, Constant):
                data[name] = numpy_helper.from_array(value.values)
        found = inferred_types(proto, opsets, types, data)
        dims = found[node.outputs[0]].tensor_type.shape.dim
        return tuple(size.dim_value for size in dims)[1:]
    except NOT_KNOWN:
        return None


def _type(value: Value) -> Any:
    match value:
        case Constant():
            element = helper.np_dtype_to_tensor_dtype(value.values.dtype)
            return helper.make_tensor_type_proto(element, value.values.shape)
        case QuantizedConstant():
            return helper.make_tensor_type_proto(TensorProto.FLOAT, value.integers.shape)
        case _:
            shape = shape_of(value)
            if shape is None:
                raise ValueError
            element = TensorProto.INT8 if isinstance(value, Integers) else TensorProto.FLOAT
            return helper.make_tensor_type_proto(element, (1, *shape))
