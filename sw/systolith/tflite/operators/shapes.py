"""Operators that only move or shape data."""

from dataclasses import replace
from math import prod

from systolith.network import Concat, Flatten, Pad2d
from systolith.tflite.activation import Activation
from systolith.tflite.errors import TfliteError
from systolith.tflite.operators.operands import Call, network_shape

__all__ = ["read_concatenation", "read_padding", "read_reshape"]


def read_reshape(call: Call) -> Activation:
    """RESHAPE, SQUEEZE, EXPAND_DIMS: images to vectors; the file's order (H, W, C) is kept in mind.

    A vector may become the image again that it was.
    """
    source, wanted = call.unpadded(0), network_shape(call.output)
    if prod(wanted) != prod(source.shape):
        raise TfliteError([f"changes {source.tensor.shape} to {call.output.shape}: not supported"])
    if wanted == source.shape:
        return replace(source, tensor=call.output)
    if len(wanted) == 1:
        flat = call.draft.flatten(source, call.name)
        return replace(flat, tensor=call.output)
    if (image := _image_before(call, source)) is not None and image.shape == wanted:
        return image
    change = f"changes {source.tensor.shape} to {call.output.shape}"
    raise TfliteError([f"{change}; images may become vectors, nothing else is supported"])


def _image_before(call: Call, source: Activation) -> Activation | None:
    """Give the image that a vector was, as the call's result."""
    layers = [layer for layer in call.draft.layers if layer.name == source.layer]
    if not layers or not isinstance(layers[0], Flatten):
        return None
    shape = source.flattened or (*source.shape, 1, 1)
    return replace(source, layer=layers[0].input, shape=shape, flattened=None, tensor=call.output)


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
    """PAD: rows and columns of zeros that the next convolution takes over if it can.

    PADV2 has a constant of its own, which becomes a layer.
    """
    source = call.unpadded(0)
    given = call.constant(1)
    if len(source.shape) != 3 or given.shape != (4, 2):
        raise TfliteError(["pads something else than an image: not supported"])
    if given[0].any() or given[3].any():
        raise TfliteError(["pads batch or channels; only rows and columns are supported"])
    if source.type != call.output_type or source.scale != float(call.output.scale[0]):
        raise TfliteError(["changes the scale; pad with the zero of the image"])
    (top, bottom), (left, right) = given[1].tolist(), given[2].tolist()
    padding = (top, bottom, left, right)
    if len(call.operator.inputs) > 2:
        value = int(call.constant(2).ravel()[0])
        if value != source.type.zero_point:
            layer = Pad2d(name=call.name, input=source.layer, padding=padding, value=value)
            return call.append(layer, [source])
    return replace(source, tensor=call.output, padding=padding)
