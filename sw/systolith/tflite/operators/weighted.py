"""Convolutions and fully connected layers."""

from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from systolith.network import Conv2d, IntArray, Linear, Padding, Requantize, ungroup_weights
from systolith.tflite.activation import Activation
from systolith.tflite.doubles import scale_exactly
from systolith.tflite.draft import ONLY_DILATED
from systolith.tflite.errors import TfliteError
from systolith.tflite.graph import FileTensor
from systolith.tflite.operators.blocks import divide_places, find_blocks
from systolith.tflite.operators.operands import Call
from systolith.tflite.places import image_places
from systolith.tflite.scales import activation_range, requantize_as_tflite

__all__ = [
    "SAME",
    "bias_of",
    "channel_scales",
    "read_convolution",
    "read_depthwise",
    "read_fully_connected",
    "same_padding",
    "weights_of",
]

SAME = 0
PLAIN_FORMAT = 0
PROBE = Requantize(multiplier=np.array([1]), shift=np.array([0]))
"""Of layers that are made to find their accumulator range."""


def read_convolution(call: Call) -> Activation:
    """CONV_2D: weights are (F, Kh, Kw, C) in the file; with fewer channels, groups follow."""
    weight = weights_of(call, 4, axis=0)
    channels, own = call.tensor(0).shape[-1], weight.shape[3]
    groups = channels // own if channels % own == 0 else 1
    return _convolve(call, weight.transpose(0, 3, 1, 2), groups)


def read_depthwise(call: Call) -> Activation:
    """DEPTHWISE_CONV_2D: weights are (1, Kh, Kw, F) in the file."""
    weight = weights_of(call, 4, axis=3)
    channels = call.tensor(0).shape[-1]
    return _convolve(call, weight.transpose(3, 0, 1, 2), groups=channels)


def _convolve(call: Call, weight: IntArray, groups: int) -> Activation:
    (source, blocks), options = _image_of_parts(call), call.operator.options
    stride = options.StrideH(), options.StrideW()
    if blocks != (1, 1) and stride != (1, 1):
        raise TfliteError([f"has strides {stride}; {ONLY_DILATED}"])
    steps = options.DilationHFactor(), options.DilationWFactor()
    dilation = steps[0] * blocks[0], steps[1] * blocks[1]
    kernel = weight.shape[2], weight.shape[3]
    reach = tuple((size - 1) * by + 1 for size, by in zip(kernel, dilation, strict=True))
    most = max(source.padding[:2]) >= reach[0] or max(source.padding[2:]) >= reach[1]
    if options.Padding() == SAME or most:
        source = call.draft.pad(source)
    padding = source.padding
    if options.Padding() == SAME:
        near = (kernel[0] - 1) * steps[0] + 1, (kernel[1] - 1) * steps[1] + 1
        top, bottom, left, right = same_padding(source.shape, near, stride)
        rows, columns = blocks
        padding = top * rows, bottom * rows, left * columns, right * columns
    output, filters = call.output, len(weight)
    whole = ungroup_weights(weight, groups)
    act, scales = call.output_type, channel_scales(call, filters)
    spec = requantize_as_tflite(
        scales, activation_range(options.FusedActivationFunction(), output, act)
    )
    layer = Conv2d(
        name=call.name,
        input=source.layer,
        weight=whole.weight,
        bias=bias_of(call, filters),
        requantize=spec,
        output=act,
        stride=stride,
        padding=padding,
        groups=whole.groups,
        pattern=whole.pattern,
        mask=whole.mask,
        dilation=dilation,
    )
    if blocks == (1, 1):
        return call.append(layer, [source])
    x = call.append_ordered(layer, [source])
    places = divide_places(image_places(x.shape)[None], blocks)
    return replace(x, places=places.reshape(x.tensor.shape))


def _image_of_parts(call: Call) -> tuple[Activation, tuple[int, int]]:
    """Return the image that is read, and the blocks by which the file divided it."""
    parts = call.activation(0)
    blocks = find_blocks(parts) or (1, 1)
    if blocks == (1, 1):
        return call.image(0), blocks
    places = image_places(parts.whole_shape)[None]
    tensor = replace(parts.tensor, shape=places.shape)
    return replace(parts, tensor=tensor, places=places), blocks


def read_fully_connected(call: Call) -> Activation:
    """FULLY_CONNECTED: the reference kernel scales sums in doubles."""
    options = call.operator.options
    if options.WeightsFormat() != PLAIN_FORMAT:
        raise TfliteError(["has shuffled weights; convert the model for int8"])
    weight = weights_of(call, 2, axis=0)
    source = call.unpadded(0)
    if source.places.size > weight.shape[1]:
        return _connect_pixels(call, weight, source)
    if source.places.size != weight.shape[1] or prod(call.output.shape) != len(weight):
        shapes = f"{source.tensor.shape} to {call.output.shape} with weights {weight.shape}"
        raise TfliteError([f"connects {shapes}: not supported"])
    source = call.draft.complete(source)
    moved = np.empty_like(weight)
    moved[:, source.places.ravel()] = weight
    fields: dict[str, Any] = {
        "bias": bias_of(call, len(weight)),
        "requantize": PROBE,
        "output": call.output_type,
    }
    layer: Conv2d | Linear
    if call.operator.outputs[0] in call.draft.pixels and len(source.shape) == 3:
        kernels = moved.reshape(len(moved), *source.shape)
        layer = Conv2d(name=call.name, input=source.layer, weight=kernels, **fields)
    else:
        source = call.draft.flatten(source, call.unused("input"))
        layer = Linear(name=call.name, input=source.layer, weight=moved, **fields)
    layer = replace(layer, requantize=_exact_scales(call, layer, source))
    return call.append_ordered(layer, [source])


def _connect_pixels(call: Call, weight: IntArray, source: Activation) -> Activation:
    """Read a fully connected layer of each pixel: a convolution of one pixel."""
    filters, features = weight.shape
    if not source.is_ordered and len(source.tensor.shape) in (3, 4):
        source = call.draft.arrange(source)
    if not source.is_ordered or source.shape[0] != features:
        shapes = f"features of {source.tensor.shape} with weights {weight.shape}"
        raise TfliteError([f"connects {shapes}: not supported"])
    layer = Conv2d(
        name=call.name,
        input=source.layer,
        weight=weight.reshape(filters, features, 1, 1),
        bias=bias_of(call, filters),
        requantize=PROBE,
        output=call.output_type,
    )
    layer = replace(layer, requantize=_exact_scales(call, layer, source))
    return call.append_ordered(layer, [source])


def _exact_scales(call: Call, layer: Conv2d | Linear, source: Activation) -> Requantize:
    """Scale sums as doubles do, with one scale or one for each filter."""
    act, scales = call.output_type, channel_scales(call, len(layer.weight))
    fused = call.operator.options.FusedActivationFunction()
    clamp = activation_range(fused, call.output, act)
    reach = layer.accumulator_range([call.network_tensor(source)])
    return scale_exactly(scales, reach, act, clamp)


def same_padding(
    shape: tuple[int, ...], kernel: tuple[int, int], stride: tuple[int, int]
) -> Padding:
    """Pad as TensorFlow's SAME does: the odd row at the bottom, the odd column at the right.

    >>> same_padding((3, 32, 32), (3, 3), (2, 2))
    (0, 1, 0, 1)
    """
    ends = []
    for size, reach, step in zip(shape[1:], kernel, stride, strict=True):
        total = max((-(-size // step) - 1) * step + reach - size, 0)
        ends += [total // 2, total - total // 2]
    return ends[0], ends[1], ends[2], ends[3]


def weights_of(call: Call, axes: int, axis: int) -> IntArray:
    """Return the second input: constant int8 weights whose scales lie along an axis."""
    tensor = call.tensor(1)
    if tensor.values is None:
        raise TfliteError([f"has computed weights '{tensor.name}'; weights must be constants"])
    if tensor.type != "INT8":
        raise TfliteError([f"has {tensor.type.lower()} weights; int8 weights are supported"])
    if tensor.zero_point.any():
        raise TfliteError(["has weights with a zero point; symmetric weights are supported"])
    if len(tensor.shape) != axes:
        raise TfliteError([f"has weights of shape {tensor.shape}; {axes} axes are supported"])
    if len(tensor.scale) > 1 and tensor.axis != axis:
        raise TfliteError([f"has scales along axis {tensor.axis} of its weights, not {axis}"])
    return tensor.values.astype(np.int64)


def bias_of(call: Call, filters: int, number: int = 2) -> IntArray:
    """Return a constant int32 input; zeros if it is left out."""
    if len(call.operator.inputs) <= number or call.operator.inputs[number] < 0:
        return np.zeros(filters, dtype=np.int64)
    tensor: FileTensor = call.tensor(number)
    if tensor.values is None or tensor.type != "INT32":
        raise TfliteError([f"must have a constant int32 bias, but '{tensor.name}' is none"])
    return tensor.values.astype(np.int64)


def channel_scales(call: Call, filters: int, number: int = 0) -> list[float]:
    """Scales from sums of an input to the output, in doubles, as TFLite computes them."""
    given, source = call.tensor(1).scale, call.activation(number)
    weights = [float(scale) for scale in np.broadcast_to(given, filters)]
    return [source.scale * weight / float(call.output.scale[0]) for weight in weights]
