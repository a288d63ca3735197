"""ONNX files as plain nodes and constants, checked before anything is made of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, checker, helper, numpy_helper

from systolith.exchange.errors import ExchangeError
from systolith.exchange.folding import folded
from systolith.network import ActType

__all__ = ["ModelFile", "Node", "integer_type", "read_model"]

KNOWN_DOMAINS = ("", "ai.onnx", "com.microsoft", "qonnx.custom_op.general", "onnx.brevitas")
LEAST_OPSET, GREATEST_OPSET = 9, onnx.defs.onnx_opset_version()
STANDARD = ("", "ai.onnx")
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


def read_model(path: Path) -> ModelFile:
    """Read and check an ONNX file.

    Raises
    ------
    ExchangeError
        If there is no such file, if it is damaged, if it has another number of inputs than one,
        sizes that are not known, or operator sets that this cannot know.
    """
    model = _load(path)
    problems = list(_opset_problems(model))
    stored = {each.name for each in model.graph.initializer}
    inputs = [each for each in model.graph.input if each.name not in stored]
    shape: tuple[int, ...] = ()
    if len(inputs) != 1:
        names = ", ".join(f"'{each.name}'" for each in inputs) or "none"
        problems.append(f"the model must have one input, the images, got {len(inputs)}: {names}")
    else:
        shape, found = _image_shape(inputs[0])
        problems += found
    problems = problems or _checker_problems(model)
    if problems:
        raise ExchangeError(f"{path.name}: {problem}" for problem in problems)
    graph = folded(model).graph
    constants = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    constants |= {each.output[0]: _constant(each) for each in graph.node if _is_constant(each)}
    return ModelFile(
        name=graph.name or path.stem,
        nodes=tuple(_node(each) for each in graph.node if not _is_constant(each)),
        constants=constants,
        input=inputs[0].name,
        shape=shape,
        integer=integer_type(helper.tensor_dtype_to_np_dtype(inputs[0].type.tensor_type.elem_type)),
        outputs=tuple(each.name for each in graph.output),
        metadata={each.key: each.value for each in model.metadata_props},
        opsets={each.domain.removeprefix("ai.onnx"): each.version for each in model.opset_import},
    )


def integer_type(dtype: np.dtype[Any]) -> ActType | None:
    """What an array of integers of up to 16 bits holds; None for other arrays."""
    if dtype.kind in "iu" and dtype.itemsize <= 2:
        return ActType(bits=8 * dtype.itemsize, signed=dtype.kind == "i")
    return INTEGERS_OF_ONNX.get(dtype.name)


def _load(path: Path) -> ModelProto:
    try:
        model = onnx.load(path)
    except FileNotFoundError as error:
        raise ExchangeError([f"there is no file {path}"]) from error
    except (DecodeError, OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else "it cannot be read"
        raise ExchangeError([f"{path}: not an ONNX file, or a truncated one: {reason}"]) from error
    if not model.graph.node:
        raise ExchangeError([f"{path}: not an ONNX file, or a truncated one: it has no nodes"])
    return model


def _opset_problems(model: ModelProto) -> Iterator[str]:
    for each in model.opset_import:
        if each.domain in STANDARD and not LEAST_OPSET <= each.version <= GREATEST_OPSET:
            yield (
                f"operator set {each.version} of ONNX is not known, {LEAST_OPSET} to "
                f"{GREATEST_OPSET} are; convert it by onnx.version_converter, or export it anew"
            )
    used = {each.domain for each in model.graph.node}
    for domain in sorted(used - set(KNOWN_DOMAINS) - {"finn.custom_op.general"}):
        ops = sorted({each.op_type for each in model.graph.node if each.domain == domain})
        yield f"operators of domain '{domain}' are not known: {', '.join(ops)}"


def _checker_problems(model: ModelProto) -> list[str]:
    """What ONNX itself finds wrong; operators of other domains are not looked at by it."""
    checked = ModelProto()
    checked.CopyFrom(model)
    for value in checked.graph.output:
        # Sizes of results follow from all else; some exporters leave them out.
        value.type.tensor_type.shape.SetInParent()
    try:
        checker.check_model(checked)
    except checker.ValidationError as error:
        return [f"not a valid ONNX model: {' '.join(str(error).split())}"]
    return []


def _image_shape(value: onnx.ValueInfoProto) -> tuple[tuple[int, ...], list[str]]:
    sizes = list(value.type.tensor_type.shape.dim)
    shape = tuple(each.dim_value for each in sizes[1:])
    given = tuple(each.dim_param or each.dim_value or "?" for each in sizes)
    shown = "(" + ", ".join(map(str, given)) + ")"
    if len(sizes) not in (2, 4):
        what = "images (N, C, H, W) or vectors (N, features)"
        hint = " (one- and three-dimensional data are not supported)" if len(sizes) else ""
        return shape, [f"input '{value.name}' must hold {what}, got {shown}{hint}"]
    if not all(shape):
        return shape, [
            (
                f"input '{value.name}' has sizes that are not known before it runs: {shown}; only "
                f"the batch may be dynamic: export it with fixed sizes, or fix them by "
                f"onnxruntime.tools.make_dynamic_shape_fixed"
            )
        ]
    return shape, []


def _is_constant(node: onnx.NodeProto) -> bool:
    return node.op_type == "Constant"


def _constant(node: onnx.NodeProto) -> Array:
    for attribute in node.attribute:
        value = helper.get_attribute_value(attribute)
        if isinstance(value, TensorProto):
            return numpy_helper.to_array(value)
        if attribute.name in ("value_float", "value_floats"):
            return np.asarray(value, dtype=np.float32)
        if attribute.name in ("value_int", "value_ints"):
            return np.asarray(value, dtype=np.int64)
    return np.zeros(0)


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
