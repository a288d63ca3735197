"""From the operators of a file to the layers of a network; all problems at once."""

from collections.abc import Iterator
from dataclasses import dataclass

from systolith.network import INPUT, NetworkError
from systolith.tflite.activation import Activation, act_type
from systolith.tflite.draft import Draft
from systolith.tflite.errors import TfliteError
from systolith.tflite.folding import fold_crops
from systolith.tflite.graph import FileGraph, FileOperator
from systolith.tflite.inputs import FileInputs, read_inputs
from systolith.tflite.names import name_layer
from systolith.tflite.operators import HOST_ENDS, KERNELS, REWRITES, SHAPING, VALUEWISE
from systolith.tflite.operators.operands import Call
from systolith.tflite.turning import turn_back, turn_inputs, turn_operator, turns

__all__ = ["ReadGraph", "read_graph"]

PROBABILITIES = {"SOFTMAX": "softmax", "LOG_SOFTMAX": "softmax", "LOGISTIC": "sigmoid"}
"""What turns logits into probabilities, by operator."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReadGraph:
    """A file as layers.

    Attributes
    ----------
    inputs : FileInputs
    draft : Draft
    values : dict of int to Activation
        By number of tensor.
    outputs : dict of int to Activation
        Outputs of the network, by number of tensor.
    """

    inputs: FileInputs
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
    if not graph.outputs:
        raise TfliteError(["the file has no outputs"])
    draft = Draft(class_on_chip=class_on_chip, pixels=_find_pixels(graph))
    operators, outputs = _leave_ends(graph, draft)
    inputs = read_inputs(graph, operators, draft)
    values, broken = dict(inputs.values), set[int]()
    problems: list[str] = []
    for operator in _without_shapes(graph, inputs.operators):
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
    ends = _read_ends(graph, values, outputs, draft)
    draft.drop_unread({x.layer for x in ends.values()})
    draft.layers, values, ends = fold_crops(draft.layers, {**values, **ends}, ends)
    kept = {INPUT, *(layer.name for layer in draft.layers)}
    return ReadGraph(
        inputs=inputs,
        draft=draft,
        values={
            number: x
            for number, x in values.items()
            if x.layer in kept and not x.reals and not any(x.padding)
        },
        outputs=ends,
    )


def _read(
    graph: FileGraph, operator: FileOperator, values: dict[int, Activation], draft: Draft
) -> tuple[Activation, ...]:
    kernel = KERNELS.get(operator.kind)
    if kernel is None or (kernel.classes and not draft.class_on_chip):
        raise TfliteError([_unsupported(operator.kind)])
    read = {number for other in graph.operators for number in other.inputs}
    if kernel.classes and read & set(operator.outputs):
        raise TfliteError(["is supported at the end only, but its class is read"])
    output = graph.tensors[operator.outputs[0]]
    weights = [graph.tensors[number].name for number in operator.inputs[1:2] if number >= 0]
    name = name_layer(
        [*weights, output.name] if _is_weighted(operator) else [output.name],
        operator.kind,
        [layer.name for layer in draft.layers],
    )
    if not (kernel.reals or kernel.classes):
        act_type(output)
    turned = turns(operator, values)
    if turned:
        place = graph.operators.index(operator)
        graph = turn_operator(graph, operator)
        operator, values = graph.operators[place], turn_inputs(graph, operator, values)
    call = Call(graph=graph, operator=operator, name=name, values=values, draft=draft)
    results = kernel.read(call)
    if turned:
        assert isinstance(results, Activation)
        return (turn_back(results, output),)
    return results if isinstance(results, tuple) else (results,)


def _without_shapes(graph: FileGraph, operators: list[FileOperator]) -> list[FileOperator]:
    """Leave out operators that compute shapes: every shape is known.

    Keras computes them where the file has a batch of any size.
    """
    shapes: set[int] = set()
    rest = []
    for operator in operators:
        computed = {n for n in operator.inputs if n >= 0 and graph.tensors[n].values is None}
        if operator.kind == "SHAPE" or (computed and computed <= shapes):
            shapes.update(operator.outputs)
        else:
            rest.append(operator)
    return rest


def _find_pixels(graph: FileGraph) -> set[int]:
    """Find vectors that become images of one pixel: gates of squeeze-and-excitation."""
    pixels: set[int] = set()
    for operator in reversed(graph.operators):
        shapes = [graph.tensors[number].shape for number in operator.outputs]
        image = operator.kind in SHAPING and len(shapes[0]) == 4 and shapes[0][1:3] == (1, 1)
        through = operator.kind == "FULLY_CONNECTED" or operator.kind in VALUEWISE
        if image or (through and pixels & set(operator.outputs)):
            pixels |= {n for n in operator.inputs if n >= 0 and len(graph.tensors[n].shape) == 2}
    return pixels


def _read_ends(
    graph: FileGraph, values: dict[int, Activation], outputs: list[int], draft: Draft
) -> dict[int, Activation]:
    """Give the outputs: vectors have a layer that flattens, and no layer has two outputs."""
    ends: dict[int, Activation] = {}
    for number in dict.fromkeys(outputs):
        x = draft.pad(values[number])
        if len(x.tensor.shape) == 2 or x.layer in {end.layer for end in ends.values()}:
            x = draft.flatten(x)
        if same := [end for end in ends.values() if end.layer == x.layer]:
            names = f"'{x.tensor.name}' and '{same[0].tensor.name}'"
            raise TfliteError([f"outputs {names} have the same values; leave one out"])
        ends[number] = x
    return ends


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
