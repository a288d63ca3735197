"""Two tensors of one shape: the smaller one is repeated over the axes that it lacks."""

from dataclasses import replace

from systolith.network import SelectChannels, Shape, Upsample
from systolith.tflite.activation import Activation
from systolith.tflite.errors import TfliteError
from systolith.tflite.operators.operands import Call

__all__ = ["read_pair"]


def read_pair(call: Call) -> tuple[Activation, Activation]:
    """Return both inputs of an operator, which are computed, with one shape.

    Raises
    ------
    TfliteError
        If one is neither as large as the other nor one value for each channel or pixel.
    """
    first, second = call.unpadded(0), call.unpadded(1)
    if len(first.shape) != len(second.shape):
        shapes = f"{first.shape} and {second.shape}"
        raise TfliteError([f"combines tensors of shapes {shapes}: not supported"])
    if first.flattened != second.flattened:
        raise TfliteError(["combines a flattened image with a vector; combine before flattening"])
    channels, *size = (max(sizes) for sizes in zip(first.shape, second.shape, strict=True))
    shape = (channels, *size)
    return _spread(call, first, shape), _spread(call, second, shape)


def _spread(call: Call, x: Activation, shape: Shape) -> Activation:
    """Repeat a tensor over the axes that it lacks."""
    name, own = x.layer, x.shape
    if own[0] == 1 < shape[0]:
        channels = SelectChannels(
            name=call.unused("channels"), input=name, channels=(0,) * shape[0]
        )
        call.draft.layers.append(channels)
        name, own = channels.name, (shape[0], *own[1:])
    if own[1:] == (1, 1) != shape[1:]:
        pixels = Upsample(name=call.unused("pixels"), input=name, factors=(shape[1], shape[2]))
        call.draft.layers.append(pixels)
        name, own = pixels.name, shape
    if own != shape:
        shapes = f"combines shape {x.shape} with {shape}"
        raise TfliteError([f"{shapes}; one shape, or one value for each channel or pixel, is read"])
    return replace(x, layer=name, shape=shape)
