"""Functions of each value, as tables that the reference kernels themselves compute."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from math import prod
from types import MappingProxyType
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as litert
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from systolith.network import IntArray, Shape, Table
from systolith.tflite.activation import Activation, act_type
from systolith.tflite.errors import TfliteError
from systolith.tflite.graph import FileGraph, FileOperator
from systolith.tflite.operators.channelwise import append_channelwise
from systolith.tflite.operators.operands import Call
from systolith.tflite.versions import list_versions

__all__ = ["UNARY", "read_dequantizer", "read_function", "share_source"]

Operators = tuple[FileOperator, ...]

UNARY: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(
            ("ABS", "EXP", "GELU", "HARD_SWISH", "LEAKY_RELU", "LOG", "LOGISTIC", "NEG")
            + ("RELU", "RELU6", "RELU_0_TO_1", "RELU_N1_TO_1", "RSQRT", "SQRT", "TANH"),
            "any scales",
        ),
        **dict.fromkeys(("COS", "FLOOR", "SIGN", "SIN", "SQUARE"), "of real numbers only"),
    }
)
"""Operators of one input that compute each value on its own, and their limits."""


def read_dequantizer(call: Call) -> Activation:
    """DEQUANTIZE within a network: real numbers of integers, until the next QUANTIZE."""
    source = call.unpadded(0)
    places = source.places.reshape(call.output.shape)
    return replace(source, tensor=call.output, places=places, reals=(call.operator,))


def read_function(call: Call) -> Activation:
    """Read an operator whose results are functions of one tensor's values: a table of them.

    Constants may have one number for each channel. The layer is then not a table.

    Raises
    ------
    TfliteError
        If inputs are functions of different tensors, or constants have another shape.
    """
    shared = share_source(call)
    if shared is None:
        raise TfliteError(
            ["combines what depends on different tensors; functions of one tensor are supported"]
        )
    number, source, operators = shared
    if call.output.type == "FLOAT32":
        if not any(x.reals for x in _computed(call)):
            raise TfliteError(["makes real numbers; put DEQUANTIZE before and QUANTIZE behind"])
        places = source.places.reshape(call.output.shape)
        return replace(source, tensor=call.output, places=places, reals=operators)
    act = act_type(call.output)
    result = call.operator.outputs[0]
    channels = _count_channels(call, operators, source)
    if channels > 1 and _channels_of(source) is None:
        vector = len(source.tensor.shape) == 2
        source = call.draft.flatten(source) if vector else call.draft.arrange(source)
        source = call.draft.complete(source)
    values = _tabulate(call.graph, operators, number, result, channels)
    if (values != values[:, :1]).any():
        factors = _factors(call, operators)
        if factors is not None:
            factors = _by_channel(source, factors[None])[0]
        return append_channelwise(call, source, _by_channel(source, values), factors)
    values = values[:, 0]
    layer = Table(name=call.name, input=source.layer, values=values, output=act)
    call.draft.functions[result] = number, operators
    return call.append_alike(layer, [source])


def share_source(call: Call) -> tuple[int, Activation, Operators] | None:
    """Find the nearest tensor that all computed inputs are functions of.

    Returns
    -------
    number, activation, operators
        The operators compute the call's result from that tensor alone, in the file's order. None
        if there is no such tensor.
    """
    numbers = [number for number in call.operator.inputs if number in call.values]
    if not numbers:
        raise TfliteError(["reads constants only; fold constants first"])
    first, *others = [dict(_ancestors(call, number)) for number in numbers]
    for number, own in first.items():
        if all(number in other for other in others):
            needed = {*own, *(operator for other in others for operator in other[number])}
            ordered = [operator for operator in call.graph.operators if operator in needed]
            source = call.draft.pad(call.values[number])
            return number, source, (*ordered, call.operator)
    return None


def _ancestors(call: Call, number: int) -> Iterator[tuple[int, Operators]]:
    """Yield int8 tensors that a tensor is a function of, nearest first, and the operators."""
    x, operators = call.values[number], Operators()
    if x.reals:
        number = _source_of(call.graph, x.reals)
        operators = x.reals
    while True:
        yield number, operators
        if number not in call.draft.functions:
            return
        number, before = call.draft.functions[number]
        operators = (*before, *operators)


def _source_of(graph: FileGraph, operators: Operators) -> int:
    """Give the computed tensor that the operators read and do not compute themselves."""
    made = {number for operator in operators for number in operator.outputs}
    (source,) = {
        number
        for operator in operators
        for number in operator.inputs
        if number >= 0 and number not in made and graph.tensors[number].values is None
    }
    return source


def _computed(call: Call) -> list[Activation]:
    return [call.values[number] for number in call.operator.inputs if number in call.values]


def _count_channels(call: Call, operators: Operators, source: Activation) -> int:
    """Give the number of channels if a constant has a number for each, else 1."""
    most, axes = 1, len(call.output.shape)
    for tensor in (call.graph.tensors[n] for one in operators for n in one.inputs if n >= 0):
        if tensor.values is None or tensor.values.size == 1:
            continue
        channels = source.tensor.shape[-1]
        if tensor.values.size != channels or tensor.shape[-1:] != (channels,):
            given = f"has constants of shape {tensor.shape}"
            raise TfliteError([f"{given}; one number, or one for each channel, is supported"])
        most, axes = channels, max(axes, len(tensor.shape))
    if prod(call.output.shape) != source.places.size or axes > 4:
        raise TfliteError([f"changes {source.tensor.shape} to {call.output.shape}: not supported"])
    return most


def _factors(call: Call, operators: Operators) -> IntArray | None:
    """Give the constants of MUL or PRELU, less their zero point; None for other functions."""
    if len(operators) > 1 or call.operator.kind not in ("MUL", "PRELU"):
        return None
    tensors = [call.graph.tensors[number] for number in call.operator.inputs]
    (constant,) = (tensor for tensor in tensors if tensor.values is not None)
    assert constant.values is not None
    return constant.values.ravel().astype(np.int64) - int(constant.zero_point[0])


def _by_channel(source: Activation, values: IntArray) -> IntArray:
    """Bring the columns of a file's channels into the order of the layer's channels."""
    channels = _channels_of(source)
    assert channels is not None
    return np.asarray(values[:, channels])


def _channels_of(source: Activation) -> IntArray | None:
    """Give the file's channel of each channel of the layer; None if they are mixed."""
    count = source.shape[0]
    if source.tensor.shape[-1] != count:
        return None
    own = np.broadcast_to(np.arange(count), source.tensor.shape).ravel()
    # Values may be repeated.
    channel = source.places.ravel() // (prod(source.shape) // count)
    channels = np.full(count, -1)
    channels[channel] = own
    mixed = (channels[channel] != own).any() or (channels < 0).any()
    return None if mixed else channels


def _tabulate(
    graph: FileGraph, operators: Operators, source: int, result: int, channels: int
) -> IntArray:
    """Run operators of the file on every integer of a tensor, with the reference kernels.

    Returns
    -------
    array of int64, shape (codes, channels)
    """
    act = act_type(graph.tensors[source])
    codes = np.arange(act.low, act.high + 1, dtype=np.int8)
    shape = (1, codes.size, 1, channels)
    given = np.broadcast_to(codes[None, :, None, None], shape)
    try:
        interpreter = Interpreter(
            model_content=list_versions(_cut_out(graph, operators, source, result, shape)),
            experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
        )
        interpreter.allocate_tensors()
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], given)
        interpreter.invoke()
    except (RuntimeError, ValueError) as error:
        raise TfliteError([f"TFLite itself refuses it: {error}"]) from error
    values = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    return np.asarray(values.reshape(codes.size, channels).astype(np.int64))


def _cut_out(
    graph: FileGraph, operators: Operators, source: int, result: int, shape: Shape
) -> bytes:
    """Make a file of some operators, whose activations have one shape."""
    model, whole = litert.ModelT(), _unpack(graph.content)
    tensors = sorted({n for one in operators for n in (*one.inputs, *one.outputs) if n >= 0})
    place = {number: index for index, number in enumerate(tensors)} | {-1: -1}
    part = litert.SubGraphT()
    part.tensors, part.operators, model.buffers = [], [], [litert.BufferT()]
    for number in tensors:
        tensor = _copy(whole.subgraphs[0].tensors[number])
        if graph.tensors[number].values is None:
            tensor.shape, tensor.shapeSignature, tensor.buffer = [*shape], None, 0
        else:
            model.buffers.append(whole.buffers[tensor.buffer])
            tensor.buffer = len(model.buffers) - 1
        part.tensors.append(tensor)
    for operator in operators:
        copy = _copy(whole.subgraphs[0].operators[graph.operators.index(operator)])
        copy.inputs = [place[number] for number in operator.inputs]
        copy.outputs = [place[number] for number in operator.outputs]
        part.operators.append(copy)
    part.inputs, part.outputs = [place[source]], [place[result]]
    model.version, model.operatorCodes, model.subgraphs = 3, whole.operatorCodes, [part]
    builder = flatbuffers.Builder(4096)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


@lru_cache(maxsize=1)
def _unpack(content: bytes) -> Any:
    """Read a file as objects."""
    return litert.ModelT.InitFromPackedBuf(content, 0)


def _copy(record: Any) -> Any:
    made = type(record)()
    vars(made).update(vars(record))
    return made
