"""Write ONNX graphs node by node, and run each node at once."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike, DTypeLike
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from systolith.fuzz.choices import Choices
from systolith.fuzz.graphs.reference import QONNX_DOMAIN, TensorValues, run_onnx_node

__all__ = ["MICROSOFT", "ImpossibleNodeError", "Writer"]

MICROSOFT = "com.microsoft"


class ImpossibleNodeError(Exception):
    """The reference cannot run this node."""


@dataclass(kw_only=True)
class Writer:
    """A graph while it is written.

    Attributes
    ----------
    choices : Choices
    opset, ir_version : int
    rare : int
        Percentage of choices that most importers refuse.
    listed : bool
        Whether initializers are inputs as well, as in files of IR version 3.
    input_name : str
    values : dict of str to array
        Value of each tensor for the images of the case.
    scales : dict of str to array
        Scale of each quantized tensor.
    dyadic : bool
        Whether scales are powers of two and the reference rounds nothing.
    """

    choices: Choices
    opset: int
    ir_version: int
    rare: int
    listed: bool
    qonnx: bool
    dyadic: bool
    input_name: str = "x"
    values: dict[str, TensorValues] = field(default_factory=dict)
    scales: dict[str, TensorValues] = field(default_factory=dict)
    nodes: list[NodeProto] = field(default_factory=list)
    constants: list[TensorProto] = field(default_factory=list)
    covers: list[str] = field(default_factory=list)

    def chance(self, percent: int) -> bool:
        """Choose True with a probability of `percent`."""
        return self.choices.chance(percent)

    def rarely(self, times: int = 1) -> bool:
        """Choose whether to write a feature that most importers refuse."""
        return self.choices.chance(self.rare * times)

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a tensor without the batch axis."""
        return tuple(self.values[name].shape[1:])

    def image(self, name: str) -> tuple[int, int, int]:
        """Return channels, height and width of images; ImpossibleNodeError for other tensors."""
        if self.values[name].ndim != 4:
            raise ImpossibleNodeError(f"{name} holds no images")
        _, channels, height, width = self.values[name].shape
        return channels, height, width

    def vector(self, name: str) -> tuple[int]:
        """Return the features of vectors; ImpossibleNodeError for other tensors."""
        if self.values[name].ndim != 2:
            raise ImpossibleNodeError(f"{name} holds no vectors")
        return (self.values[name].shape[1],)

    def const(self, values: ArrayLike, dtype: DTypeLike = np.float32) -> str:
        """Add a constant: an initializer, or sometimes a Constant node."""
        name = f"c{len(self.constants) + len(self.nodes)}_{len(self.constants)}"
        array = np.asarray(values, dtype=dtype)
        return self.stored(numpy_helper.from_array(array, name), array)

    def stored(self, tensor: TensorProto, array: TensorValues) -> str:
        """Add a constant from its stored form."""
        name = str(tensor.name)
        self.values[name] = array
        if self.chance(8):
            self.nodes.append(
                helper.make_node("Constant", [], [name], name=f"n{name}", value=tensor)
            )
            self.covers.append("Constant node")
        else:
            self.constants.append(tensor)
        return name

    def add(
        self, op: str, *inputs: str, domain: str = "", outputs: int = 1, **attributes: Any
    ) -> str:
        """Add a node and run it. Returns the name of its first result.

        Raises
        ------
        ImpossibleNodeError
            If the reference cannot run it, or its result is not finite or too large.
        """
        name = f"{op}_{len(self.nodes)}"
        results = [f"{name}_out{place or ''}" for place in range(outputs)]
        node = helper.make_node(op, inputs, results, name=name, domain=domain, **attributes)
        if domain not in (QONNX_DOMAIN, MICROSOFT):
            _check_schema(node, self.opset)
        try:
            outcome = run_onnx_node(node, self.values, self.opset, self.ir_version)
        except Exception as error:  # ONNX Runtime raises exceptions of its own
            raise ImpossibleNodeError(str(error)) from error
        first = outcome[results[0]]
        if not first.size or first.size > 1 << 14:
            raise ImpossibleNodeError("too large, or nothing")
        if first.dtype.kind == "f" and not np.isfinite(first).all():
            raise ImpossibleNodeError("not finite")
        self.values |= outcome
        self.nodes.append(node)
        self.covers += [f"{op} {key}={_shown(value)}" for key, value in attributes.items()]
        self.covers.append(op)
        return results[0]

    def attempt(self, write: Callable[[], str | None]) -> str | None:
        """Call `write`; if a node is impossible, remove all nodes of the call and return None."""
        nodes, constants, covers = len(self.nodes), len(self.constants), len(self.covers)
        dyadic = self.dyadic
        try:
            return write()
        except ImpossibleNodeError:
            del self.nodes[nodes:], self.constants[constants:], self.covers[covers:]
            self.dyadic = dyadic
            return None

    def scale(self, greatest: float, levels: int) -> float:
        """Draw a scale with which `levels` steps reach about `greatest`."""
        base = max(greatest, 2.0**-10) / max(levels, 1)
        if self.dyadic:
            return float(2.0 ** (np.ceil(np.log2(base)) + self.choices.integer(-2, 1)))
        return float(np.float32(base * (50 + self.choices.integer(0, 100)) / 100))

    def model(self, *outputs: str, batch: int | str) -> ModelProto:
        """Return the model with these outputs."""
        images = self.values[self.input_name]
        kind = helper.np_dtype_to_tensor_dtype(images.dtype)
        shape = [batch, *images.shape[1:]]
        inputs = [helper.make_tensor_value_info(self.input_name, kind, shape)]
        if self.listed or self.ir_version < 4:
            inputs += [
                helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
                for tensor in self.constants
            ]
        graph = helper.make_graph(
            self.nodes,
            "drawn",
            inputs,
            [self._output(name) for name in outputs],
            initializer=self.constants,
        )
        opsets = [helper.make_opsetid("", self.opset), helper.make_opsetid(MICROSOFT, 1)]
        if self.qonnx:
            opsets = [opsets[0], helper.make_opsetid(QONNX_DOMAIN, 2)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=self.ir_version)

    @property
    def types(self) -> dict[str, int]:
        """Element type of each tensor, as ONNX numbers it."""
        return {
            name: helper.np_dtype_to_tensor_dtype(array.dtype)
            for name, array in self.values.items()
        }

    def _output(self, name: str) -> onnx.ValueInfoProto:
        kind = helper.np_dtype_to_tensor_dtype(self.values[name].dtype)
        value = helper.make_tensor_value_info(name, kind, [])
        value.type.tensor_type.ClearField("shape")
        return value


def _check_schema(node: NodeProto, opset: int) -> None:
    """Check the attributes and the number of inputs against this version of the operator."""
    try:
        schema = onnx.defs.get_schema(node.op_type, opset)
    except onnx.defs.SchemaError as error:
        raise ImpossibleNodeError(str(error)) from error
    unknown = {attribute.name for attribute in node.attribute} - set(schema.attributes)
    if unknown or not schema.min_input <= len(node.input) <= schema.max_input:
        raise ImpossibleNodeError(f"{node.op_type} of operator set {opset}: {unknown}")


def _shown(value: Any) -> str:
    """Return the value of an attribute as a feature; lists only tell if they hold 0, 1 or more."""
    if isinstance(value, list | tuple):
        return "[0..]" if not any(value) else "[1..]" if set(value) <= {1} else "[..]"
    return f"{value:g}" if isinstance(value, int | float) else str(value)
