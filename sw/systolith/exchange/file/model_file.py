"""ONNX files as plain nodes and constants."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, helper, numpy_helper

from systolith.exchange.errors import ExchangeError
from systolith.exchange.file.folding import fold_shapes, read_constant
from systolith.exchange.file.image_shape import add_batch_axis, find_image_shape
from systolith.exchange.file.joining import join_model_inputs
from systolith.exchange.file.loading import (
    load_model,
    model_inputs,
    validity_problems,
    version_problems,
)
from systolith.network import ActType

__all__ = ["ModelFile", "Node", "integer_type", "read_model"]

INTEGERS_OF_ONNX = {
    f"{sign}int{bits}": ActType(bits=bits, signed=not sign) for sign in ("", "u") for bits in (2, 4)
}
"""Types that NumPy does not have."""

Array = NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Node:
    """One operation.

    Attributes
    ----------
    name : str
        Name of the node, or of its first output.
    op : str
        Operator, such as ``Conv``.
    inputs, outputs : tuple of str
        Names of tensors; empty for an input that is left out.
    attributes : dict of str to object
        Python values.
    domain : str
        Domain of the operator; empty for ONNX's own.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    domain: str = ""

    def __str__(self) -> str:
        return f"node '{self.name}' ({self.op})"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ModelFile:
    """A graph with one input.

    Attributes
    ----------
    name : str
    nodes : tuple of Node
        Sorted: each node follows the nodes that it reads.
    constants : dict of str to array
        Initializers and constants, by tensor.
    input : str
        Tensor of the images.
    shape : tuple of int
        Shape of one image.
    integer : ActType or None
        Type of images that are integers; None for real images.
    outputs : tuple of str
    metadata : dict of str to str
        The file's own metadata.
    opsets : dict of str to int
        Operator set versions by domain; without an entry for ONNX itself, the latest.
    proto : ModelProto or None
        The complete model, for other programs.
    notes : tuple of str
        Notes for the user on how the file was read.
    whole : set of str
        Constants that are stored as real numbers and annotated as integers.
    """

    name: str
    nodes: tuple[Node, ...]
    constants: Mapping[str, Array]
    input: str
    shape: tuple[int, ...]
    integer: ActType | None
    outputs: tuple[str, ...]
    metadata: Mapping[str, str]
    opsets: Mapping[str, int] = field(default_factory=dict)
    proto: ModelProto | None = None
    notes: tuple[str, ...] = ()
    whole: frozenset[str] = frozenset()


def read_model(path: Path, *, input_shape: Sequence[int] | None = None) -> ModelFile:
    """Read and check an ONNX file.

    Parameters
    ----------
    path : Path
    input_shape : sequence of int, optional
        Shape of one image, if the file leaves sizes open.

    Raises
    ------
    ExchangeError
        If the file does not exist or is damaged, or if the model does not have one input, has
        unknown sizes or uses operator sets that are not supported.
    """
    model, notes = add_batch_axis(load_model(path))
    problems = list(version_problems(model))
    inputs = model_inputs(model)
    shape: tuple[int, ...] = ()
    reason = ""
    if len(inputs) > 1 and not problems:
        joined = join_model_inputs(model, inputs, _constants(model.graph)[0])
        if isinstance(joined, str):
            reason = f"; {joined}"
        else:
            model, notes, inputs = joined[0], (*notes, joined[1]), model_inputs(joined[0])
    if len(inputs) != 1:
        names = ", ".join(f"'{value.name}'" for value in inputs) or "none"
        problems.append(
            f"the model must have one input, the images, got {len(inputs)}: {names}; export it "
            f"with the images alone, or make the others constants (initializers){reason}"
        )
    else:
        shape, shape_problems = find_image_shape(inputs[0], input_shape)
        problems += ["; ".join([problem, *notes]) for problem in shape_problems]
    problems = problems or validity_problems(model)
    graph = model.graph if problems else fold_shapes(model).graph
    constants, constant_problems = _constants(graph)
    problems += constant_problems
    if problems:
        raise ExchangeError(f"{path.name}: {problem}" for problem in problems)
    return ModelFile(
        name=graph.name or path.stem,
        nodes=tuple(_node(node) for node in graph.node if node.op_type != "Constant"),
        constants=constants,
        input=inputs[0].name,
        shape=shape,
        integer=integer_type(helper.tensor_dtype_to_np_dtype(inputs[0].type.tensor_type.elem_type)),
        outputs=tuple(value.name for value in graph.output),
        metadata={entry.key: entry.value for entry in model.metadata_props},
        opsets={
            opset.domain.removeprefix("ai.onnx"): opset.version for opset in model.opset_import
        },
        proto=model,
        notes=notes,
        whole=_annotated_integers(graph),
    )


def _annotated_integers(graph: onnx.GraphProto) -> frozenset[str]:
    """Name the tensors that FINN annotated with an integer type, such as INT2 or BIPOLAR."""
    return frozenset(
        annotation.tensor_name
        for annotation in graph.quantization_annotation
        for pair in annotation.quant_parameter_tensor_names
        if pair.key == "finn_datatype" and not pair.value.startswith(("FLOAT", "FIXED", "SCALED"))
    )


def _constants(graph: onnx.GraphProto) -> tuple[dict[str, Array], list[str]]:
    """Read initializers and constants by tensor; also list their problems."""
    arrays: dict[str, Array] = {}
    problems = [
        f"constant '{tensor.values.name}' is stored sparsely; store it densely"
        for tensor in graph.sparse_initializer
    ]
    for tensor in graph.initializer:
        try:
            arrays[tensor.name] = numpy_helper.to_array(tensor)
        except (TypeError, ValueError, KeyError) as error:
            problems.append(f"constant '{tensor.name}' cannot be read: {error}; store it anew")
    for node in graph.node:
        if node.op_type != "Constant":
            continue
        array = read_constant(node)
        if array is None:
            problems.append(f"constant '{node.output[0]}' holds no array of numbers; store one")
        else:
            arrays[node.output[0]] = array
    return arrays, problems


def integer_type(dtype: np.dtype[Any]) -> ActType | None:
    """Give the type of an array of integers of up to 16 bits; None for other arrays."""
    if dtype.kind in "iu" and dtype.itemsize <= 2:
        return ActType(bits=8 * dtype.itemsize, signed=dtype.kind == "i")
    return INTEGERS_OF_ONNX.get(dtype.name)


def _node(node: onnx.NodeProto) -> Node:
    return Node(
        name=node.name or (node.output[0] if node.output else node.op_type),
        op=node.op_type,
        inputs=tuple(node.input),
        outputs=tuple(node.output),
        attributes={attribute.name: _value(attribute) for attribute in node.attribute},
        domain=node.domain,
    )


def _value(attribute: onnx.AttributeProto) -> Any:
    value = helper.get_attribute_value(attribute)
    if isinstance(value, bytes):
        return value.decode()
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
