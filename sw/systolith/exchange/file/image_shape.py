"""The shape of a model's images, and a batch axis for inputs without one."""

from collections.abc import Iterator, Sequence

import numpy as np
from onnx import (
    GraphProto,
    ModelProto,
    NodeProto,
    TensorProto,
    ValueInfoProto,
    helper,
    numpy_helper,
)

from systolith.exchange.file.folding import read_constant
from systolith.exchange.file.loading import model_inputs

__all__ = ["add_batch_axis", "find_image_shape"]

AXES = (2, 3, 4)
"""Number of axes of the model's input, with the batch; three if the model reshapes it first."""
NUMBERS = "fiub"
"""NumPy kinds of data that images may have."""


def find_image_shape(
    value: ValueInfoProto, given: Sequence[int] | None = None
) -> tuple[tuple[int, ...], list[str]]:
    """Find the shape of one image, and complete the model's input with the user's sizes.

    Parameters
    ----------
    value : ValueInfoProto
        The model's input. Sizes that it leaves open are set to those of `given`.
    given : sequence of int, optional
        Shape without the batch.

    Returns
    -------
    shape : tuple of int
    problems : list of str
    """
    problems = [*_type_problems(value), *_given_problems(value, given)]
    if problems:
        return (), problems
    dims = value.type.tensor_type.shape.dim
    if dims and dims[0].dim_value < 1:
        # Exporters write an open batch as a name, as 0 or as -1.
        dims[0].dim_param = dims[0].dim_param or "N"
    if given is not None:
        if not dims:
            dims.add().dim_param = "N"
            for _ in given:
                dims.add()
        for dim, size in zip(dims[1:], given, strict=True):
            dim.dim_value = size
    shape, shown = tuple(dim.dim_value for dim in dims[1:]), _shown(value)
    if len(dims) not in AXES:
        what = "images (N, C, H, W) or vectors (N, features)"
        hint = " (three-dimensional data are not supported)" if dims else ""
        return shape, [f"input '{value.name}' must hold {what}, got {shown}{hint}"]
    if any(dim.dim_value < 0 for dim in dims):
        return shape, [
            (
                f"input '{value.name}' has sizes less than 1: {shown}; export it anew, or give the "
                "sizes of an image (--input-shape 3,32,32, import_onnx(..., input_shape=...))"
            )
        ]
    if not all(shape):
        return shape, [
            (
                f"input '{value.name}' has sizes that are not known before it runs: {shown}; only "
                "the batch may be dynamic: give the sizes of an image (--input-shape 3,32,32, "
                "import_onnx(..., input_shape=(3, 32, 32))), or export it with fixed sizes"
            )
        ]
    return shape, []


def _type_problems(value: ValueInfoProto) -> list[str]:
    kind = value.type.WhichOneof("value")
    if kind != "tensor_type":
        return [f"input '{value.name}' is a {kind or 'value without a type'}; a tensor is needed"]
    element = value.type.tensor_type.elem_type
    try:
        dtype = np.dtype(helper.tensor_dtype_to_np_dtype(element))
    except KeyError:
        dtype = np.dtype(object)
    if element == TensorProto.UNDEFINED or (dtype.kind not in NUMBERS and dtype.kind != "V"):
        name = TensorProto.DataType.Name(element).lower()
        return [f"input '{value.name}' holds {name}; images are numbers"]
    return []


def _given_problems(value: ValueInfoProto, given: Sequence[int] | None) -> list[str]:
    if given is None:
        return []
    wanted = ", ".join(map(str, given))
    if not given or min(given) < 1:
        return [f"input_shape must be sizes of an image, such as 3, 32, 32, got ({wanted})"]
    dims = list(value.type.tensor_type.shape.dim)
    fits = len(dims) == 1 + len(given) and all(
        dim.dim_value in (0, size) for dim, size in zip(dims[1:], given, strict=True)
    )
    if dims and not fits:
        return [f"input_shape ({wanted}) does not fit input '{value.name}', {_shown(value)}"]
    return []


def _shown(value: ValueInfoProto) -> str:
    sizes = value.type.tensor_type.shape.dim
    return "(" + ", ".join(str(dim.dim_param or dim.dim_value or "?") for dim in sizes) + ")"


def add_batch_axis(model: ModelProto) -> tuple[ModelProto, tuple[str, ...]]:
    """Give the model's input a batch axis of size 1 if the graph starts by adding one.

    An Unsqueeze of axis 0 directly after the input means that the whole input is one image. This
    node is removed, and so is a Squeeze of axis 0 that gives an output.

    Returns
    -------
    model : ModelProto
        The same model if its input has a batch axis.
    notes : tuple of str
        Notes for the user.
    """
    inputs = model_inputs(model)
    if len(inputs) != 1:
        return model, ()
    name = inputs[0].name
    readers = [node for node in model.graph.node if name in node.input]
    rank = len(inputs[0].type.tensor_type.shape.dim)
    if (
        not readers
        or not rank
        or not all(_changes_batch(model.graph, node, "Unsqueeze") for node in readers)
    ):
        return model, ()
    batched = ModelProto()
    batched.CopyFrom(model)
    graph = batched.graph
    renamed = {node.output[0]: name for node in readers}
    outputs = {value.name for value in graph.output}
    ends = [
        node
        for node in graph.node
        if node.output[0] in outputs and _changes_batch(graph, node, "Squeeze")
    ]
    # A tensor with several Squeezes gets the name of only one result.
    renamed |= {node.input[0]: node.output[0] for node in ends}
    ends = [node for node in ends if renamed[node.input[0]] == node.output[0]]
    gone = {output for node in (*readers, *ends) for output in node.output}
    kept = [node for node in graph.node if not gone.intersection(node.output)]
    for node in kept:
        for names in (node.input, node.output):
            for place, tensor in enumerate(names):
                names[place] = renamed.get(tensor, tensor)
    del graph.node[:]
    graph.node.extend(kept)
    # The stored shapes have no batch axis.
    del graph.value_info[:]
    for value in graph.output:
        value.type.tensor_type.ClearField("shape")
    _insert_batch(next(value for value in graph.input if value.name == name))
    return batched, (
        (
            f"input '{name}' has no axis of the batch, the file adds it: all {rank} axes are one "
            "image, and results have a batch, too"
        ),
    )


def _insert_batch(value: ValueInfoProto) -> None:
    shape = value.type.tensor_type.shape
    sizes = list(shape.dim)
    shape.ClearField("dim")
    shape.dim.add().dim_value = 1
    for size in sizes:
        if size.dim_value < 0:
            # Some exporters write an unknown size as -1.
            size.dim_param = "?"
        shape.dim.append(size)


def _changes_batch(graph: GraphProto, node: NodeProto, op: str) -> bool:
    """Whether a node inserts or removes the first axis only."""
    return node.op_type == op and not node.domain and list(_axes(graph, node)) == [0]


def _axes(graph: GraphProto, node: NodeProto) -> Iterator[int]:
    for attribute in node.attribute:
        if attribute.name == "axes":
            yield from attribute.ints
    for name in node.input[1:2]:
        for tensor in graph.initializer:
            if tensor.name == name:
                yield from map(int, numpy_helper.to_array(tensor).reshape(-1))
        for maker in graph.node:
            if maker.op_type == "Constant" and maker.output[0] == name:
                array = read_constant(maker)
                yield from () if array is None else map(int, array.reshape(-1))
