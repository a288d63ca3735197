"""Operators that only move or shape data."""

from dataclasses import replace
from math import prod

from systolith.tflite.activation import Activation
from systolith.tflite.errors import TfliteError
from systolith.tflite.operands import Call, network_shape

__all__ = ["read_padding", "read_reshape"]


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
