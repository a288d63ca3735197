"""The inputs of a file as the input of a network."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from systolith.network import INPUT, IntArray
from systolith.tflite.activation import Activation, act_type
from systolith.tflite.draft import Draft
from systolith.tflite.errors import TfliteError
from systolith.tflite.graph import FileGraph, FileOperator
from systolith.tflite.operators import SHAPING
from systolith.tflite.operators.operands import network_shape
from systolith.tflite.places import image_places

__all__ = ["FileInputs", "read_inputs"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FileInputs:
    """Inputs of a file.

    Attributes
    ----------
    source : Activation
        The network's input. Several inputs are one tensor whose channels follow each other.
    values : dict of int to Activation
        Each input, by number of tensor.
    operators : list of FileOperator
        Operators that are not left to the host.
    hosted : bool
        Whether the file quantizes real inputs, which is left to the host.
    """

    source: Activation
    values: dict[int, Activation]
    operators: list[FileOperator]
    hosted: bool


def read_inputs(graph: FileGraph, operators: list[FileOperator], draft: Draft) -> FileInputs:
    """Make the input of the network.

    Raises
    ------
    TfliteError
        If there is none, or several have different sizes, types or scales.
    """
    if not graph.inputs:
        raise TfliteError(["the file has no inputs"])
    numbers = []
    for number in graph.inputs:
        operators, quantized = _leave_quantizer(graph, number, operators, draft)
        numbers.append(quantized)
    hosted = {one != other for one, other in zip(numbers, graph.inputs, strict=True)}
    if len(hosted) > 1:
        raise TfliteError(["some inputs are real numbers, others integers: not supported"])
    try:
        if len(numbers) == 1:
            source = _shape_input(graph, operators, numbers[0])
            values = {numbers[0]: source}
        else:
            source = _join_inputs(graph, numbers)
            values = _take_parts(graph, numbers, source, draft)
    except TfliteError as error:
        raise TfliteError(f"input: {problem}" for problem in error.problems) from None
    return FileInputs(source=source, values=values, operators=operators, hosted=hosted == {True})


def _leave_quantizer(
    graph: FileGraph, number: int, operators: list[FileOperator], draft: Draft
) -> tuple[list[FileOperator], int]:
    """Leave a quantizer of real numbers to the host. Returns other operators and the input."""
    readers = [operator for operator in operators if number in operator.inputs]
    if graph.tensors[number].type not in ("FLOAT32", "UINT8") or len(readers) != 1:
        return operators, number
    (reader,) = readers
    if reader.kind != "QUANTIZE":
        return operators, number
    draft.notes.append(
        f"QUANTIZE of '{graph.tensors[number].name}' is left to the host: the network's input is "
        f"'{graph.tensors[reader.outputs[0]].name}'"
    )
    return [operator for operator in operators if operator is not reader], reader.outputs[0]


def _shape_input(graph: FileGraph, operators: Sequence[FileOperator], first: int) -> Activation:
    """Let the network's input have the shape of an image that its only readers make of it."""
    tensor = graph.tensors[first]
    act_type(tensor)
    moved, last = np.arange(np.prod(tensor.shape)).reshape(tensor.shape), first
    chosen = (last, moved)
    while last not in graph.outputs:
        readers = [operator for operator in operators if last in operator.inputs]
        if len(readers) != 1 or readers[0].kind not in SHAPING:
            break
        last = readers[0].outputs[0]
        shape = graph.tensors[last].shape
        if readers[0].kind == "TRANSPOSE":
            axes = graph.tensors[readers[0].inputs[1]].values
            if axes is None:
                break
            moved = moved.transpose(axes.ravel())
        if np.prod(shape) != moved.size:
            break
        moved = moved.reshape(shape)
        if len(shape) in (3, 4) and shape[0] == 1:
            chosen = (last, moved)
    shape = network_shape(graph.tensors[chosen[0]])
    usual = image_places(shape) if len(shape) == 3 else np.arange(shape[0])
    places = np.empty(moved.size, dtype=np.int64)
    places[chosen[1].ravel()] = usual.ravel()
    return Activation(layer=INPUT, tensor=tensor, shape=shape, places=places.reshape(tensor.shape))


def _join_inputs(graph: FileGraph, numbers: Sequence[int]) -> Activation:
    """Make one tensor of several inputs: their channels follow each other."""
    tensors = [graph.tensors[number] for number in numbers]
    first = tensors[0]
    for tensor in tensors:
        same = act_type(tensor) == act_type(first) and tensor.scale[0] == first.scale[0]
        if not same or tensor.shape[:-1] != first.shape[:-1]:
            names = f"'{tensor.name}' and '{first.name}' differ in size, scale or zero point"
            raise TfliteError([f"{names}; inputs may differ in their channels only"])
    channels = sum(tensor.shape[-1] for tensor in tensors)
    joined = replace(
        first,
        name=", ".join(tensor.name for tensor in tensors),
        shape=(*first.shape[:-1], channels),
    )
    shape = network_shape(joined)
    usual = image_places(shape) if len(shape) == 3 else np.arange(channels)
    return Activation(layer=INPUT, tensor=joined, shape=shape, places=usual.reshape(joined.shape))


def _take_parts(
    graph: FileGraph, numbers: Sequence[int], source: Activation, draft: Draft
) -> dict[int, Activation]:
    """Select the channels of each input."""
    values, begin = {}, 0
    for number in numbers:
        tensor = graph.tensors[number]
        end = begin + tensor.shape[-1]
        part: IntArray = source.places[..., begin:end]
        values[number] = draft.select(source, part, tensor)
        begin = end
    return values
