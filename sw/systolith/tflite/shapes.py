"""Operators that only move or shape data."""

from dataclasses import replace
from math import prod

from systolith.network import Concat
from systolith.tflite.activation import Activation
from systolith.tflite.errors import TfliteError
from systolith.tflite.operands import Call, network_shape

__all__ = ["read_concatenation", "read_padding", "read_reshape"]


def read_reshape(call: Call) -> Activation:
    """RESHAPE, SQUEEZE: images to vectors; the order (H, W, C) of the file is kept in mind."""
    source, wanted = call.activation(0), network_shape(call.output)
    if prod(wanted) != prod(source.shape):
        raise TfliteError([f"changes {source.tensor.shape} to {call.output.shape}: not supported"])
    if wanted == source.shape:
        return replace(source, tensor=call.output)
    if len(wanted) == 1:
        flat = call.draft.flatten(source, call.name)
        return replace(flat, tensor=call.output)
    change = f"changes {source.tensor.shape} to {call.output.shape}"
    raise TfliteError([f"{change}; images may become vectors, nothing else is supported"])


def read_concatenation(call: Call) -> Activation:
    """CONCATENATION of channels, or of features; the kernel copies, so that all have one scale."""
    sources = [call.unpadded(number) for number in range(len(call.operator.inputs))]
    axes = len(call.output.shape)
    if call.operator.options.Axis() % axes != axes - 1:
        raise TfliteError(["joins other axes than channels, the last axis: not supported"])
    if any(x.flattened is not None for x in sources):
        raise TfliteError(["joins a flattened image; join channels before flattening"])
    for x in sources:
        if x.type != call.output_type or x.scale != float(call.output.scale[0]):
            raise TfliteError(["joins tensors of different scales; convert with one scale for all"])
    if call.operator.options.FusedActivationFunction():
        raise TfliteError(["has a fused activation; fuse it into the layers before"])
    layer = Concat(name=call.name, inputs=tuple(x.layer for x in sources))
    return call.append(layer, sources)


def read_padding(call: Call) -> Activation:
    """PAD: rows and columns of zeros that the next convolution takes over."""
    source, given = call.unpadded(0), call.tensor(1).values
    if len(source.shape) != 3 or given is None or given.shape != (4, 2):
        raise TfliteError(["pads something else than an image by constants: not supported"])
    if given[0].any() or given[3].any():
        raise TfliteError(["pads batch or channels; only rows and columns are supported"])
    if source.type != call.output_type or source.scale != float(call.output.scale[0]):
        raise TfliteError(["changes the scale; pad with the zero of the image"])
    (top, bottom), (left, right) = given[1].tolist(), given[2].tolist()
    return replace(source, tensor=call.output, padding=(top, bottom, left, right))
