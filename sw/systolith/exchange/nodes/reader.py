"""Reading of the nodes of a file: each gives a value or problems."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from systolith.exchange.errors import ExchangeError, NodeError
from systolith.exchange.file.folding import infer_types
from systolith.exchange.file.loading import CHANNELS_LAST_DOMAIN
from systolith.exchange.file.model_file import ModelFile, Node
from systolith.exchange.layers.draft import Draft
from systolith.exchange.layers.plain import widen_signs
from systolith.exchange.layers.rising import count_from
from systolith.exchange.nodes.constants import QUANTIZERS, evaluate_constant
from systolith.exchange.nodes.declarations import OnnxOperator
from systolith.exchange.nodes.integers import quantize_integers
from systolith.exchange.nodes.moves import join_values
from systolith.exchange.nodes.operators import operator_of
from systolith.exchange.nodes.unsupported import REWRITES
from systolith.exchange.values.layouts import shape_of
from systolith.exchange.values.value import (
    Absent,
    Constant,
    Integers,
    Joined,
    LoweredImage,
    ModelInput,
    Parts,
    PendingLayer,
    QuantizedActivation,
    QuantizedConstant,
    Unknown,
    Value,
)
from systolith.network import (
    ActType,
    AvgPool2d,
    IntArray,
    NetworkError,
    Requantize,
    Requantized,
    Shape,
    Tensor,
)

__all__ = ["NodeReader", "substitute_value"]

EACH_VALUE = {
    "BipolarQuant",
    "Clip",
    "DequantizeLinear",
    "IntQuant",
    "Quant",
    "QuantizeLinear",
    "Relu",
}
"""Operators with the same constants for all values."""
PROBE_PREFIX = "layer 'probe': "
"""Prefix of problems of layers that have no name yet."""


@dataclass(slots=True, kw_only=True)
class NodeReader:
    """Reads nodes in order, and collects values and problems.

    Attributes
    ----------
    draft : Draft
    opsets : dict of str to int
    values : dict of str to Value
        By tensor.
    problems : list of str
    doubtful : set of str
        Tensors that depend on a node with a problem.
    """

    draft: Draft
    opsets: Mapping[str, int]
    values: dict[str, Value]
    problems: list[str] = field(default_factory=list)
    doubtful: set[str] = field(default_factory=set)

    def read_nodes(self, model: ModelFile) -> None:
        """Read all nodes."""
        read = {name for node in model.nodes for name in node.inputs} | set(model.outputs)
        for node in model.nodes:
            doubtful = any(name in self.doubtful for name in node.inputs)
            self.draft.lenient = doubtful
            value, problems = self._read_node(node)
            more = [name for name in node.outputs[1:] if name in read]
            if more and not isinstance(value, Parts) and operator_of(node) is not None:
                problems.append(
                    f"{node}: its output '{more[0]}' is read; only its first one is supported"
                )
            self.problems += [problem for problem in problems if problem not in self.problems]
            self.values.update(dict.fromkeys(node.outputs, Unknown()))
            parts = value.values if isinstance(value, Parts) else (value,)
            self.values.update(zip(node.outputs, parts, strict=False))
            if problems or doubtful:
                self.doubtful.update(node.outputs)

    def read_output(self, name: str) -> QuantizedActivation | None:
        """Give an output of the model; None if it depends on a node with a problem."""
        self.draft.lenient = name in self.doubtful
        value = self.values.get(name, Unknown())
        try:
            output = self._read_output(name, value)
        except NetworkError as error:
            self._report(error, f"output '{name}'")
            return None
        return None if self.draft.lenient else output

    def _read_output(self, name: str, value: Value) -> QuantizedActivation | None:
        end = Node(name=name, op="end", inputs=(name,), outputs=(), attributes={})
        match value:
            case Integers():
                result: Value = quantize_integers(end, value, self.draft)
                if isinstance(result, QuantizedActivation):
                    result = count_from(value.quantizer.type, result, self.draft)
            case PendingLayer():
                result = self.draft.quantize_output(value)
            case _:
                result = value
        match result:
            case QuantizedActivation():
                result = self.draft.pad_apart(result)
                return self._end_with_zero(end, result)
            case Unknown():
                return None
            case ModelInput():
                raise ExchangeError.of("is the model's input itself; a layer's result is supported")
            case _:
                raise ExchangeError.of("is no layer's result")

    def _end_with_zero(self, end: Node, result: QuantizedActivation) -> QuantizedActivation:
        """Store an output so that an integer stands for 0."""
        if result.tensor.type.bits == 1 and 2 * result.origin == result.scale:
            return widen_signs(end, result, self.draft)
        result = self.draft.include_zero(result)
        if result.origin and not self.draft.lenient:
            raise ExchangeError.of(
                f"is counts that stand for {result.scale:g} each, and {result.origin:g} more; a "
                "multiple of half a count is supported at the end of a model"
            )
        return result

    def _read_node(self, node: Node) -> tuple[Value, list[str]]:
        """Read a node: its value, and its problems."""
        missing = Absent()
        given = [self.values.get(name, Unknown()) if name else missing for name in node.inputs]
        operator = operator_of(node)
        try:
            if (constant := evaluate_constant(node, given, self.opsets)) is not None:
                return constant, []
        except ExchangeError as error:
            return Unknown(), self._named_problems(error, node)
        if operator is None:
            rewrite = REWRITES.get(node.op, "see the table of supported operators in docs/onnx.md")
            if node.domain == CHANNELS_LAST_DOMAIN:
                rewrite = "import the file from before qonnx made channels the last axis"
            return self._substitute(node, given), [f"{node}: not supported: {rewrite}"]
        understood, problems = operator.interpret(node, self.opsets)
        problems = [f"{node}: {problem}" for problem in problems]
        declared = len(operator.inputs.split())
        values = [*given, *[missing] * (declared - len(given))]
        values = values if operator.variadic else values[:declared]
        # Further problems of a quantizer with block scales only follow from these.
        known = not any(isinstance(value, Unknown) for value in values)
        if not known or (problems and node.op in QUANTIZERS):
            return self._substitute(node, given), problems
        run = operator.run
        if any(isinstance(value, Joined) for value in values):
            return self._read_joined(node, understood, operator, values, problems)
        if node.op != "MatMul":
            lowered = [value.node for value in values if isinstance(value, LoweredImage)]
            problems += [f"{node}: reads {name}; a MatMul is supported" for name in lowered]
            if lowered:
                return self._substitute(node, given), problems
        if any(isinstance(value, Integers) for value in values):
            if operator.integers is None:
                problems.append(
                    f"{node}: works on the integers of {_quantizer(values)}, which is not "
                    "supported: put a DequantizeLinear before it"
                )
                return self._substitute(node, given), problems
            run = operator.integers
        try:
            value = run(understood, values, self.draft)
        except NetworkError as error:
            return self._substitute(node, given), problems + self._named_problems(error, node)
        return (self._substitute(node, given) if problems else value), problems

    def _read_joined(
        self,
        node: Node,
        understood: Node,
        operator: OnnxOperator,
        values: Sequence[Value],
        problems: list[str],
    ) -> tuple[Value, list[str]]:
        """Let a node of each value work on all parts of a concatenation."""
        joined, *others = values
        if node.op not in EACH_VALUE or not isinstance(joined, Joined):
            problems.append(
                f"{node}: reads a concatenation of several scales: put a quantizer behind it"
            )
            return self._substitute(node, list(values)), problems
        integers = any(isinstance(part, Integers) for part in joined.parts)
        run = operator.integers if integers and operator.integers is not None else operator.run
        try:
            parts = [run(understood, [part, *others], self.draft) for part in joined.parts]
            return join_values(node, parts, self.draft), problems
        except NetworkError as error:
            named = problems + self._named_problems(error, node)
            return self._substitute(node, list(values)), named

    def _substitute(self, node: Node, given: list[Value]) -> Value:
        return substitute_value(node, given, self.opsets)

    def _report(self, error: NetworkError, who: str) -> None:
        problems = self._named_problems(error, who)
        self.problems += [problem for problem in problems if problem not in self.problems]

    def _named_problems(self, error: NetworkError, who: object) -> list[str]:
        """Prefix problems with the name of their node or output."""
        about = error.node if isinstance(error, NodeError) else who
        return [f"{about}: {problem.removeprefix(PROBE_PREFIX)}" for problem in error.problems]


def _quantizer(values: list[Value]) -> str:
    return next(value.node for value in values if isinstance(value, Integers))


COMPUTES = {
    "AveragePool",
    "Conv",
    "ConvTranspose",
    "Gemm",
    "GlobalAveragePool",
    "MatMul",
    "ReduceMean",
}
"""Operators that give pending layers."""
SAME_SHAPE = {"BipolarQuant", "IntQuant", "MultiThreshold", "Quant", "Trunc"}
"""Operators of other domains that keep the shape of their first input."""

INFERENCE_ERRORS = (KeyError, RuntimeError, TypeError, ValueError)
"""Exceptions that ONNX raises for nodes that make no sense."""


def substitute_value(
    node: Node, values: Sequence[Value], opsets: Mapping[str, int]
) -> Unknown | QuantizedActivation | PendingLayer:
    """Make a value of the shape of a failed node's result, or an unknown value."""
    if all(isinstance(value, Absent | Constant | QuantizedConstant) for value in values):
        return Unknown()
    shape = _shape(node, values, opsets)
    if shape is None or len(shape) not in (1, 3) or min(shape) < 1:
        return Unknown()
    if node.op not in COMPUTES:
        tensor = Tensor(shape, ActType(bits=8, signed=True))
        return QuantizedActivation(layer="unknown", tensor=tensor, scale=1.0)

    def make(name: str, bias: IntArray, requantize: Requantize, output: ActType) -> Requantized:
        return AvgPool2d(name=name, input="unknown", requantize=requantize, output=output)

    return PendingLayer(
        name=node.name,
        shape=shape,
        result=shape,
        make=make,
        sum_range=lambda bias: (0, 0),
        scale=np.ones(shape[0]),
        offset=np.zeros(shape[0]),
        biased=True,
        error=inf,
    )


def _shape(node: Node, values: Sequence[Value], opsets: Mapping[str, int]) -> Shape | None:
    """Infer the shape of a result, without the batch."""
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
        inferred = infer_types(proto, opsets, types, data)
        dims = inferred[node.outputs[0]].tensor_type.shape.dim
        return tuple(size.dim_value for size in dims)[1:]
    except INFERENCE_ERRORS:
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
