"""From the operators of a file to the layers of a network; all problems at once."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from systolith.network import INPUT, NetworkError
from systolith.tflite.activation import Activation, Draft, act_type
from systolith.tflite.errors import TfliteError
from systolith.tflite.graph import FileGraph, FileOperator
from systolith.tflite.names import name_layer
from systolith.tflite.operators import HOST_ENDS, KERNELS, REWRITES, SHAPING
from systolith.tflite.operators.operands import Call, network_shape

__all__ = ["ReadGraph", "read_graph"]

PROBABILITIES = {"SOFTMAX": "softmax", "LOG_SOFTMAX": "softmax", "LOGISTIC": "sigmoid"}
"""What turns logits into probabilities, by operator."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReadGraph:
    """A file as layers.

    Attributes
    ----------
    source : Activation
        The network's input.
    draft : Draft
    values : dict of int to Activation
        By number of tensor.
    outputs : dict of int to Activation
        Outputs of the network, by number of tensor.
    """

    source: Activation
    draft: Draft
    values: dict[int, Activation]
    outputs: dict[int, Activation]


def read_graph(graph: FileGraph, *, class_on_chip: bool = False) -> ReadGraph:
    """Read all operators; an ARG_MAX at the end is a layer if the class is found on the chip.

    Raises
    ------
    TfliteError
        With every problem; those of operators behind a wrong one are not looked for.
    """
    if len(graph.inputs) != 1 or not graph.outputs:
        raise TfliteError(
            [f"the file has {len(graph.inputs)} inputs; files with one input are supported"]
        )
    draft = Draft(class_on_chip=class_on_chip)
    operators, outputs = _leave_ends(graph, draft)
    operators, first = _leave_start(graph, operators, draft)
    operators, shaped = _shape_input(graph, operators, first)
    try:
        tensor = graph.tensors[first]
        act_type(tensor)
        shape = network_shape(graph.tensors[shaped])
        source = Activation(layer=INPUT, tensor=tensor, shape=shape)
    except TfliteError as error:
        raise TfliteError(f"input: {problem}" for problem in error.problems) from None
    values, broken = {first: source}, set[int]()
    values[shaped] = replace(source, tensor=graph.tensors[shaped])
    problems: list[str] = []
    for operator in operators:
        if broken & set(operator.inputs):
            broken.update(operator.outputs)
            # A reason of its own is reported, too.
            if operator.kind not in KERNELS:
                problems += _name(graph, operator, [_unsupported(operator.kind)])
            continue
        try:
            results = _read(graph, operator, values, draft)
            values.update(zip(operator.outputs, results, strict=True))
        except NetworkError as error:
            problems += _name(graph, operator, error.problems)
            broken.update(operator.outputs)
    if not problems:
        problems += [
            f"output '{graph.tensors[number].name}' is constant or of real numbers: not supported"
            for number in outputs
            if number not in values or values[number].reals
        ]
        problems += [
            f"output '{graph.tensors[number].name}' is the input itself; leave it out"
            for number in outputs
            if number in values and values[number].layer == INPUT and not values[number].reals
        ]
    if problems:
        raise TfliteError(problems)
    ends = {number: draft.pad(values[number]) for number in outputs}
    draft.drop_unread({x.layer for x in ends.values()})
    kept = {INPUT, *(layer.name for layer in draft.layers)}
    return ReadGraph(
        source=source,
        draft=draft,
        values={
            number: x
            for number, x in {**values, **ends}.items()
            if x.layer in kept and not x.reals and not any(x.padding)
        },
        outputs=ends,
    )


def _read(
    graph: FileGraph, operator: FileOperator, values: dict[int, Activation], draft: Draft
) -> tuple[Activation, ...]:
    ends = operator.kind in HOST_ENDS
    if operator.kind not in KERNELS or (ends and not draft.class_on_chip):
        raise TfliteError([_unsupported(operator.kind)])
    if ends and any(set(operator.outputs) & set(other.inputs) for other in graph.operators):
        raise TfliteError(["is supported at the end only, but its class is read"])
    output = graph.tensors[operator.outputs[0]]
    weights = [graph.tensors[number].name for number in operator.inputs[1:2] if number >= 0]
    name = name_layer(
        [*weights, output.name] if _is_weighted(operator) else [output.name],
        operator.kind,
        [layer.name for layer in draft.layers],
    )
    call = Call(graph=graph, operator=operator, name=name, values=values, draft=draft)
    kernel = KERNELS[operator.kind]
    if not (kernel.reals or kernel.classes):
        act_type(output)
    results = kernel.read(call)
    return results if isinstance(results, tuple) else (results,)


WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV")
"""Operators that are named after their weights."""


def _is_weighted(operator: FileOperator) -> bool:
    return operator.kind in WEIGHTED


def _unsupported(kind: str) -> str:
    if kind in HOST_ENDS:
        return "is supported at the end only, where the host computes it"
    rewrite = REWRITES.get(kind)
    return f"is not supported; {rewrite}" if rewrite else "is not supported"


def _name(graph: FileGraph, operator: FileOperator, problems: object) -> Iterator[str]:
    number = graph.operators.index(operator)
    tensor = graph.tensors[operator.outputs[0]].name
    assert isinstance(problems, list | tuple)
    for problem in problems:
        yield f"operator {number}, {operator.kind} of '{tensor}': {problem}"


def _leave_ends(graph: FileGraph, draft: Draft) -> tuple[list[FileOperator], list[int]]:
    """Leave operators at the very end to the host. Returns the others, and the outputs."""
    operators, outputs = list(graph.operators), list(graph.outputs)
    for operator in reversed(graph.operators):
        read = {number for other in operators for number in other.inputs}
        result = operator.outputs[0]
        hosted = (operator.kind in HOST_ENDS and not _on_chip(operator, draft)) or (
            operator.kind == "QUANTIZE" and graph.tensors[result].type != "INT8"
        )
        if not hosted or result not in outputs or result in read:
            continue
        source = operator.inputs[0]
        if source in outputs:
            continue
        operators.remove(operator)
        if operator.kind in PROBABILITIES:
            draft.ends[source] = PROBABILITIES[operator.kind]
        outputs[outputs.index(result)] = source
        tensors = graph.tensors
        draft.notes.append(
            f"{operator.kind} of '{tensors[result].name}' is left to the host: the network's "
            f"output is '{tensors[source].name}'"
        )
    return operators, outputs


def _on_chip(operator: FileOperator, draft: Draft) -> bool:
    return draft.class_on_chip and operator.kind == "ARG_MAX"


def _leave_start(
    graph: FileGraph, operators: list[FileOperator], draft: Draft
) -> tuple[list[FileOperator], int]:
    """Leave a quantizer of float images to the host. Returns the other operators, and the input."""
    (first,) = graph.inputs
    readers = [operator for operator in operators if first in operator.inputs]
    if graph.tensors[first].type not in ("FLOAT32", "UINT8") or len(readers) != 1:
        return operators, first
    (reader,) = readers
    if reader.kind != "QUANTIZE":
        return operators, first
    draft.notes.append(
        f"QUANTIZE of '{graph.tensors[first].name}' is left to the host: the network's input is "
        f"'{graph.tensors[reader.outputs[0]].name}'"
    )
    return [operator for operator in operators if operator is not reader], reader.outputs[0]


def _shape_input(
    graph: FileGraph, operators: list[FileOperator], first: int
) -> tuple[list[FileOperator], int]:
    """Let the network's input have the shape that the only reader of the file's input gives it."""
    readers = [operator for operator in operators if first in operator.inputs]
    if len(readers) != 1 or readers[0].kind not in SHAPING or first in graph.outputs:
        return operators, first
    (reader,) = readers
    if len(graph.tensors[reader.outputs[0]].shape) != 4:
        return operators, first
    rest = [operator for operator in operators if operator is not reader]
    return rest, reader.outputs[0]
