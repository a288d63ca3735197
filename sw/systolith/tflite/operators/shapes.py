"""Operators that only move or shape data."""

from dataclasses import replace

import numpy as np

from systolith.network import Concat, IntArray, Pad2d
from systolith.tflite.activation import Activation
from systolith.tflite.errors import TfliteError
from systolith.tflite.operators.operands import Call
from systolith.tflite.places import image_places

__all__ = [
    "read_concatenation",
    "read_padding",
    "read_reshape",
    "read_stack",
    "read_transpose",
]


def read_reshape(call: Call) -> Activation:
    """RESHAPE, SQUEEZE, EXPAND_DIMS: the same values in the same order; no layer."""
    source = call.activation(0)
    # Padding of the parts of an image stays for the convolution that reads them.
    if source.tensor.shape[:1] == (1,):
        source = call.draft.pad(source)
    return source.view(call.output)


def read_transpose(call: Call) -> Activation:
    """TRANSPOSE: the same values in another order, which the readers take into account."""
    source = call.unpadded(0)
    axes = [int(axis) for axis in call.constant(1).ravel()]
    return source.view(call.output, source.places.transpose(axes))


def read_concatenation(call: Call) -> Activation:
    """CONCATENATION along any axis; the kernel copies, so that all have one scale."""
    axis = call.operator.options.Axis() % len(call.output.shape)
    if call.operator.options.FusedActivationFunction():
        raise TfliteError(["has a fused activation; fuse it into the layers before"])
    sources = [call.unpadded(number) for number in range(len(call.operator.inputs))]
    return _join(call, sources, axis)


def read_stack(call: Call) -> Activation:
    """PACK: tensors joined along a new axis."""
    axis = call.operator.options.Axis() % len(call.output.shape)
    sources = [call.unpadded(number) for number in range(len(call.operator.inputs))]
    stacked = [replace(x, places=np.expand_dims(x.places, axis)) for x in sources]
    return _join(call, stacked, axis)


def _join(call: Call, sources: list[Activation], axis: int) -> Activation:
    """Join results of layers one behind the other, whatever the axis is in the file."""
    for x in sources:
        if x.type != call.output_type or x.scale != float(call.output.scale[0]):
            raise TfliteError(["joins tensors of different scales; convert with one scale for all"])
    if len(sources) == 1:
        return sources[0].view(call.output)
    if axis == len(call.output.shape) - 1 and len(call.output.shape) == 4:
        sources = [_usual(call, x) for x in sources]
    if len({x.shape[1:] for x in sources}) > 1 or len({len(x.shape) for x in sources}) > 1:
        sources = [call.draft.flatten(x) for x in sources]
    layer = Concat(name=call.name, inputs=tuple(x.layer for x in sources))
    parts: list[IntArray] = []
    begin = 0
    for x in sources:
        parts.append(x.places + begin)
        begin += int(np.prod(x.shape))
    joined = replace(sources[0], places=np.concatenate(parts, axis))
    return call.append_alike(layer, [joined, *sources[1:]])


def _usual(call: Call, x: Activation) -> Activation:
    """Bring an image into the usual order, if there is a way."""
    try:
        return call.draft.arrange(x)
    except TfliteError:
        return x


def read_padding(call: Call) -> Activation:
    """PAD: rows and columns of zeros that the next convolution takes over if it can.

    PADV2 has a constant of its own, which becomes a layer.
    """
    source = call.draft.arrange(call.unpadded(0))
    given = call.constant(1)
    if len(source.shape) != 3 or given.shape != (len(source.tensor.shape), 2):
        raise TfliteError(["pads something else than an image: not supported"])
    if given[0].any() or given[-1].any():
        raise TfliteError(["pads batch or channels; only rows and columns are supported"])
    if source.type != call.output_type or source.scale != float(call.output.scale[0]):
        raise TfliteError(["changes the scale; pad with the zero of the image"])
    ends = given[1:-1].tolist()
    if len(ends) == 1:
        ends = [*ends, [0, 0]] if source.shape[2] == 1 else [[0, 0], *ends]
    (top, bottom), (left, right) = ends
    padding = (top, bottom, left, right)
    if len(call.operator.inputs) > 2:
        value = int(call.constant(2).ravel()[0])
        if value != source.type.zero_point:
            layer = Pad2d(name=call.name, input=source.layer, padding=padding, value=value)
            return call.append_ordered(layer, [source])
    padded = replace(source, padding=padding)
    places = image_places(padded.whole_shape).reshape(call.output.shape)
    return replace(padded, tensor=call.output, places=places)
