"""Models of several inputs as models of one, whose channels follow each other."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

__all__ = ["join_model_inputs"]

QUANTIZERS = ("Quant", "QuantizeLinear")
SIZES_AS_INPUT = 13
"""Operator set from which Split has its sizes as an input."""
SEVERAL = "several inputs need one height, width, type and quantizer, and known channels; {reason}"


def join_model_inputs(
    model: ModelProto,
    inputs: Sequence[ValueInfoProto],
    constants: Mapping[str, NDArray[Any]],
) -> tuple[ModelProto, str] | str:
    """Join the inputs of a model behind one quantizer, and split them again.

    Returns
    -------
    pair of ModelProto and str, or str
        The model of one input and a note for the user; or why the inputs cannot be joined.
    """
    names = [value.name for value in inputs]
    shapes = [_sizes(value) for value in inputs]
    rests = {tuple(shape[:1] + shape[2:]) for shape in shapes}
    types = {value.type.tensor_type.elem_type for value in inputs}
    listed = ", ".join(f"'{name}' {shape}" for name, shape in zip(names, shapes, strict=True))
    if len(rests) > 1 or types != {TensorProto.FLOAT}:
        return SEVERAL.format(reason=f"got {listed}")
    if any(len(shape) < 2 or not isinstance(shape[1], int) for shape in shapes):
        return SEVERAL.format(reason=f"got {listed}")
    chains = [_quantizers(model.graph, name) for name in names]
    for name, chain in zip(names, chains, strict=True):
        if not chain:
            return SEVERAL.format(reason=f"'{name}' is not read by one quantizer alone")
        if not _are_equal(chain, chains[0], constants):
            return SEVERAL.format(reason=f"'{name}' has another than '{names[0]}'")
    sizes = [shape[1] for shape in shapes]
    joined = ModelProto()
    joined.CopyFrom(model)
    _rewrite(joined, names, sizes, chains)
    note = f"the inputs {', '.join(names)} are joined: their channels follow each other in one"
    return joined, note


def _sizes(value: ValueInfoProto) -> list[int | str]:
    axes = value.type.tensor_type.shape.dim
    return [axis.dim_value if axis.HasField("dim_value") else axis.dim_param for axis in axes]


def _quantizers(graph: onnx.GraphProto, name: str) -> list[NodeProto]:
    """Find the quantizer, and the dequantizer, that alone read an input; none if others do."""
    readers = [node for node in graph.node if name in node.input]
    if len(readers) != 1 or readers[0].op_type not in QUANTIZERS:
        return []
    if readers[0].op_type == "Quant":
        return readers
    behind = [node for node in graph.node if readers[0].output[0] in node.input]
    if len(behind) != 1 or behind[0].op_type != "DequantizeLinear":
        return []
    return [readers[0], behind[0]]


def _are_equal(
    chain: Sequence[NodeProto], other: Sequence[NodeProto], constants: Mapping[str, NDArray[Any]]
) -> bool:
    """Whether two chains of quantizers compute the same."""

    def parameters(node: NodeProto) -> list[NDArray[Any] | None]:
        return [constants.get(name) for name in node.input[1:]]

    def attributes(node: NodeProto) -> dict[str, Any]:
        return {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}

    if [node.op_type for node in chain] != [node.op_type for node in other]:
        return False
    for node, wanted in zip(chain, other, strict=True):
        pairs = list(zip(parameters(node), parameters(wanted), strict=False))
        if len(node.input) != len(wanted.input) or attributes(node) != attributes(wanted):
            return False
        for a, b in pairs:
            if a is None or b is None or a.size != 1 or a.dtype != b.dtype or np.any(a != b):
                return False
    return True


def _rewrite(
    model: ModelProto, names: Sequence[str], sizes: Sequence[Any], chains: list[list[NodeProto]]
) -> None:
    graph, joined = model.graph, "_".join(names)
    first = [NodeProto.FromString(node.SerializeToString()) for node in chains[0]]
    results = [chain[-1].output[0] for chain in chains]
    first[0].input[0], first[-1].output[0] = joined, f"{joined}_quantized"
    split = helper.make_node("Split", [f"{joined}_quantized"], results, f"{joined}_split", axis=1)
    version = next((entry.version for entry in model.opset_import if not entry.domain), 1)
    if version >= SIZES_AS_INPUT:
        graph.initializer.append(numpy_helper.from_array(np.array(sizes), f"{joined}_sizes"))
        split.input.append(f"{joined}_sizes")
    else:
        split.attribute.append(helper.make_attribute("split", [int(size) for size in sizes]))
    removed = [node.output[0] for chain in chains for node in chain]
    rest = [node for node in graph.node if node.output[0] not in removed]
    constant = [node for node in rest if node.op_type == "Constant"]
    others = [node for node in rest if node.op_type != "Constant"]
    image = next(value for value in graph.input if value.name == names[0])
    made = ValueInfoProto.FromString(image.SerializeToString())
    made.name = joined
    made.type.tensor_type.shape.dim[1].dim_value = sum(int(size) for size in sizes)
    kept = [value for value in graph.input if value.name not in names]
    nodes = [
        NodeProto.FromString(node.SerializeToString())
        for node in (*constant, *first, split, *others)
    ]
    kept = [ValueInfoProto.FromString(value.SerializeToString()) for value in kept]
    del graph.input[:], graph.node[:]
    graph.input.extend([made, *kept])
    graph.node.extend(nodes)
