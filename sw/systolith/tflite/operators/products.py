"""Products of two tensors, the smaller one repeated over the axes that it lacks."""

from systolith.network import Multiply, SelectChannels, Shape, Upsample
from systolith.tflite.activation import Activation
from systolith.tflite.errors import TfliteError
from systolith.tflite.operators.functions import read_function, share_source
from systolith.tflite.operators.operands import Call
from systolith.tflite.scales import activation_range, requantize_as_tflite

__all__ = ["read_product"]


def read_product(call: Call) -> Activation:
    """MUL: products are scaled by a multiplier of 31 bits and rounded twice."""
    if share_source(call) is not None:
        return read_function(call)
    first, second = call.unpadded(0), call.unpadded(1)
    shapes = f"{first.shape} and {second.shape}"
    if len(first.shape) != len(second.shape):
        raise TfliteError([f"multiplies tensors of shapes {shapes}: not supported"])
    if first.flattened != second.flattened:
        raise TfliteError(["multiplies a flattened image by a vector; multiply before flattening"])
    channels, *size = (max(sizes) for sizes in zip(first.shape, second.shape, strict=True))
    one, other = (_spread(call, x, (channels, *size)) for x in (first, second))
    act = call.output_type
    clamp = activation_range(call.operator.options.FusedActivationFunction(), call.output, act)
    scale = first.scale * second.scale / float(call.output.scale[0])
    layer = Multiply(
        name=call.name,
        inputs=(one, other),
        requantize=requantize_as_tflite([scale], clamp),
        output=act,
    )
    shape: Shape = (channels, *size)
    if problems := list(layer.problems([shape, shape])):
        raise TfliteError(problems)
    call.draft.layers.append(layer)
    return Activation(layer=layer.name, tensor=call.output, shape=shape)


def _spread(call: Call, x: Activation, shape: Shape) -> str:
    """Repeat a tensor over the axes that it lacks; name the layer with the result."""
    name, own = x.layer, x.shape
    taken = {layer.name for layer in call.draft.layers}
    if own[0] == 1 < shape[0]:
        channels = SelectChannels(
            name=_unused(f"{call.name}_channels", taken), input=name, channels=(0,) * shape[0]
        )
        call.draft.layers.append(channels)
        name, own = channels.name, (shape[0], *own[1:])
    if own[1:] == (1, 1) != shape[1:]:
        pixels = Upsample(
            name=_unused(f"{call.name}_pixels", taken), input=name, factors=(shape[1], shape[2])
        )
        call.draft.layers.append(pixels)
        name, own = pixels.name, shape
    if own != shape:
        raise TfliteError(
            [f"multiplies shape {x.shape} by {shape}; gates of channels or pixels are supported"]
        )
    return name


def _unused(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    return name
