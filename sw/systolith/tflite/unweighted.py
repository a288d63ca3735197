"""Pools, means and additions."""

import numpy as np

from systolith.network import Add, AvgPool2d, MaxPool2d, Padding, Requantize, Rounding
from systolith.tflite.activation import Activation
from systolith.tflite.doubles import average_exactly
from systolith.tflite.errors import TfliteError
from systolith.tflite.operands import Call
from systolith.tflite.scales import activation_range, quantize_multiplier, requantize_as_tflite
from systolith.tflite.weighted import SAME, same_padding

__all__ = ["read_addition", "read_average", "read_maximum", "read_mean", "read_requantization"]

LEFT_SHIFT = 20
"""Left shift of both inputs of ADD, for int8."""


def read_addition(call: Call) -> Activation:
    """ADD: both inputs are scaled to half of the larger scale's unit and rounded, then added."""
    first, second = call.unpadded(0), call.unpadded(1)
    if first.shape != second.shape:
        raise TfliteError(
            [f"adds tensors of different shapes, {first.shape} and {second.shape}: not supported"]
        )
    if first.flattened != second.flattened:
        raise TfliteError(["adds a flattened image to a vector; add before flattening"])
    unit = 2 * max(first.scale, second.scale)
    one, other = (quantize_multiplier(x.scale / unit) for x in (first, second))
    if not (one[0] and other[0]):
        raise TfliteError(["adds tensors whose scales differ by more than 2**31"])
    act = call.output_type
    clamp = activation_range(call.operator.options.FusedActivationFunction(), call.output, act)
    scale = unit / ((1 << LEFT_SHIFT) * float(call.output.scale[0]))
    layer = Add(
        name=call.name,
        inputs=(first.layer, second.layer),
        multipliers=(one[0], other[0]),
        left_shift=LEFT_SHIFT,
        shifts=(one[1], other[1]),
        requantize=requantize_as_tflite([scale], clamp),
        output=act,
    )
    return call.append(layer, [first, second])


def read_average(call: Call) -> Activation:
    """AVERAGE_POOL_2D: sums are divided by the number of pixels, ties away from zero."""
    source, kernel, stride, padding = _window(call)
    if any(padding):
        raise TfliteError(
            ["averages over padding, which TFLite leaves out of the area; use VALID windows"]
        )
    _same_scale(call, source)
    act = call.output_type
    clamp = activation_range(call.operator.options.FusedActivationFunction(), call.output, act)
    layer = AvgPool2d(
        name=call.name,
        input=source.layer,
        kernel_size=kernel,
        stride=stride,
        requantize=average_exactly(kernel[0] * kernel[1], act, clamp),
        output=act,
    )
    return call.append(layer, [source])


def read_maximum(call: Call) -> Activation:
    """MAX_POOL_2D: padding never wins."""
    source, kernel, stride, padding = _window(call)
    _same_scale(call, source)
    act = call.output_type
    if activation_range(call.operator.options.FusedActivationFunction(), call.output, act):
        raise TfliteError(["has a fused activation that clamps; fuse it into the layer before"])
    layer = MaxPool2d(
        name=call.name, input=source.layer, kernel_size=kernel, stride=stride, padding=padding
    )
    return call.append(layer, [source])


def read_mean(call: Call) -> Activation:
    """MEAN over height and width: the number of pixels is part of the multiplier."""
    source = call.image(0)
    axes = call.tensor(1).values
    if any(source.padding) or axes is None or {int(axis) % 4 for axis in axes.ravel()} != {1, 2}:
        raise TfliteError(["averages other axes than height and width, 1 and 2: not supported"])
    area = source.shape[1] * source.shape[2]
    multiplier, shift = quantize_multiplier(source.scale / float(call.output.scale[0]))
    # The kernel doubles the multiplier as often as the area allows, then divides by the area.
    doublings = min(area.bit_length() - 1, 32, 62 - shift)
    spec = Requantize(
        multiplier=np.array([(multiplier << doublings) // area]),
        shift=np.array([shift + doublings]),
        rounding=Rounding.TFLITE,
    )
    keeps = bool(call.operator.options.KeepDims())
    name = call.name if keeps else f"{call.name}_mean"
    pool = AvgPool2d(name=name, input=source.layer, requantize=spec, output=call.output_type)
    call.draft.layers.append(pool)
    mean = Activation(layer=name, tensor=call.output, shape=(source.shape[0], 1, 1))
    return mean if keeps else call.draft.flatten(mean, call.name)


def read_requantization(call: Call) -> Activation:
    """QUANTIZE between int8 tensors: another scale and zero point."""
    source = call.unpadded(0)
    if len(source.shape) != 3:
        raise TfliteError(["changes the scale of a vector; give both tensors one scale"])
    scale = source.scale / float(call.output.scale[0])
    layer = AvgPool2d(
        name=call.name,
        input=source.layer,
        kernel_size=(1, 1),
        requantize=requantize_as_tflite([scale], None),
        output=call.output_type,
    )
    return call.append(layer, [source])


def _window(call: Call) -> tuple[Activation, tuple[int, int], tuple[int, int], Padding]:
    source, options = call.image(0), call.operator.options
    kernel = options.FilterHeight(), options.FilterWidth()
    stride = options.StrideH(), options.StrideW()
    if any(source.padding):
        raise TfliteError(["pools a padded image; pad it right before a convolution"])
    padding: Padding = (0, 0, 0, 0)
    if options.Padding() == SAME:
        padding = same_padding(source.shape, kernel, stride)
    return source, kernel, stride, padding


def _same_scale(call: Call, source: Activation) -> None:
    if source.scale != float(call.output.scale[0]) or source.type != call.output_type:
        raise TfliteError(["changes the scale; TFLite's pools keep scale and zero point"])
