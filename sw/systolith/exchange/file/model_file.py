"""ONNX files as plain nodes and constants, checked before anything is made of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, helper, numpy_helper

from systolith.exchange.errors import ExchangeError
from systolith.exchange.file.folding import constant_of, fold_shapes
from systolith.exchange.file.image_shape import add_batch_axis, find_image_shape
from systolith.exchange.file.loading import load_model, validity_problems, version_problems
from systolith.network import ActType

__all__ = ["ModelFile", "Node", "integer_type", "read_model"]

INTEGERS_OF_ONNX = {
    f"{sign}int{bits}": ActType(bits=bits, signed=not sign) for sign in ("", "u") for bits in (2, 4)
}
"""Narrower than NumPy's own."""

Array = NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Node:
    """One operation.

    Attributes
    ----------
    name : str
        The node's own, or that of its first output.
    op : str
        Such as ``Conv``.
    inputs, outputs : tuple of str
        Tensors; an empty name is an input left out.
    attributes : dict of str to object
        As Python values.
    domain : str
        Of the operator; empty for ONNX's own.
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
        In an order in which each comes after what it reads.
    constants : dict of str to array
        Initializers and constants by tensor name.
    input : str
        The tensor that images come in by.
    shape : tuple of int
        Of one image.
    integer : ActType or None
        Of the images, where these come as integers.
    outputs : tuple of str
    metadata : dict of str to str
        What the file says about itself.
    opsets : dict of str to int
        Versions of the domains of operators; of ONNX itself, the latest where none is given.
    proto : ModelProto or None
        The whole of it, as other programs run it.
    notes : tuple of str
        How it was read, where a user has to know.
    whole : set of str
        Constants that the file stores as reals, and says that they are whole numbers.
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
        Of one image, where the file leaves sizes open.

    Raises
    ------
    ExchangeError
        If there is no such file, if it is damaged, if it has another number of inputs than one,
        sizes that are not known, or operator sets that this cannot know.
    """
    model, notes = add_batch_axis(load_model(path))
    problems = list(version_problems(model))
    stored = {each.name for each in model.graph.initializer}
    inputs = [each for each in model.graph.input if each.name not in stored]
    shape: tuple[int, ...] = ()
    if len(inputs) != 1:
        names = ", ".join(f"'{each.name}'" for each in inputs) or "none"
        problems.append(
            f"the model must have one input, the images, got {len(inputs)}: {names}; export it "
            "with the images alone, or make the others constants (initializers)"
        )
    else:
        shape, found = find_image_shape(inputs[0], input_shape)
        problems += ["; ".join([problem, *notes]) for problem in found]
    problems = problems or validity_problems(model)
    graph = model.graph if problems else fold_shapes(model).graph
    constants, found = _constants(graph)
    problems += found
    if problems:
        raise ExchangeError(f"{path.name}: {problem}" for problem in problems)
    return ModelFile(
        name=graph.name or path.stem,
        nodes=tuple(_node(each) for each in graph.node if each.op_type != "Constant"),
        constants=constants,
        input=inputs[0].name,
        shape=shape,
        integer=integer_type(helper.tensor_dtype_to_np_dtype(inputs[0].type.tensor_type.elem_type)),
        outputs=tuple(each.name for each in graph.output),
        metadata={each.key: each.value for each in model.metadata_props},
        opsets={each.domain.removeprefix("ai.onnx"): each.version for each in model.opset_import},
        proto=model,
        notes=notes,
        whole=_said_to_be_whole(graph),
    )


def _said_to_be_whole(graph: onnx.GraphProto) -> frozenset[str]:
    """Tensors that FINN annotated with a type of integers, such as INT2 or BIPOLAR."""
    return frozenset(
        each.tensor_name
        for each in graph.quantization_annotation
        for pair in each.quant_parameter_tensor_names
        if pair.key == "finn_datatype" and not pair.value.startswith(("FLOAT", "FIXED", "SCALED"))
    )


def _constants(graph: onnx.GraphProto) -> tuple[dict[str, Array], list[str]]:
    """Initializers and constants by tensor, and what is wrong with them."""
    arrays: dict[str, Array] = {}
    problems = [
        f"constant '{each.values.name}' is stored sparsely; store it densely"
        for each in graph.sparse_initializer
    ]
    for tensor in graph.initializer:
        try:
            arrays[tensor.name] = numpy_helper.to_array(tensor)
        except (TypeError, ValueError, KeyError) as error:
            problems.append(f"constant '{tensor.name}' cannot be read: {error}; store it anew")
    for node in graph.node:
        if node.op_type != "Constant":
            continue
        array = constant_of(node)
        if array is None:
            problems.append(f"constant '{node.output[0]}' holds no array of numbers; store one")
        else:
            arrays[node.output[0]] = array
    return arrays, problems


def integer_type(dtype: np.dtype[Any]) -> ActType | None:
    """What an array of integers of up to 16 bits holds; None for other arrays."""
    if dtype.kind in "iu" and dtype.itemsize <= 2:
        return ActType(bits=8 * dtype.itemsize, signed=dtype.kind == "i")
    return INTEGERS_OF_ONNX.get(dtype.name)


def _node(node: onnx.NodeProto) -> Node:
    return Node(
        name=node.name or (node.output[0] if node.output else node.op_type),
        op=node.op_type,
        inputs=tuple(node.input),
        outputs=tuple(node.output),
        attributes={each.name: _value(each) for each in node.attribute},
        domain=node.domain,
    )


def _value(attribute: onnx.AttributeProto) -> Any:
    value = helper.get_attribute_value(attribute)
    if isinstance(value, bytes):
        return value.decode()
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
