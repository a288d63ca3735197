"""Pools, means and maxima."""

from dataclasses import replace

import numpy as np

from systolith.network import AvgPool2d, MaxPool2d, Padding, Requantize, Rounding
from systolith.tflite.activation import Activation
from systolith.tflite.doubles import average_exactly
from systolith.tflite.errors import TfliteError
from systolith.tflite.operators.operands import Call
from systolith.tflite.operators.weighted import SAME, same_padding
from systolith.tflite.scales import activation_range, quantize_multiplier

__all__ = ["read_average", "read_greatest", "read_maximum", "read_mean"]


def read_average(call: Call) -> Activation:
    """AVERAGE_POOL_2D: sums are divided by the number of pixels, ties away from zero.

    Padding is not in the area: one multiplier divides by a multiple of all areas.
    """
    source, kernel, stride, padding = _window(call)
    _same_scale(call, source)
    act = call.output_type
    clamp = activation_range(call.operator.options.FusedActivationFunction(), call.output, act)
    layer = AvgPool2d(
        name=call.name,
        input=source.layer,
        kernel_size=kernel,
        stride=stride,
        padding=padding,
        counted=(0, 0, 0, 0) if any(padding) else None,
        requantize=Requantize(multiplier=np.array([1]), shift=np.array([0])),
        output=act,
    )
    spec = average_exactly(layer.divisor(source.shape), act, clamp)
    return call.append(replace(layer, requantize=spec), [source])


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
    """MEAN over rows, columns or both: the number of pixels is part of the multiplier."""
    source, kernel = _reduced(call)
    area = kernel[0] * kernel[1]
    multiplier, shift = quantize_multiplier(source.scale / float(call.output.scale[0]))
    # The kernel doubles the multiplier as often as the area allows, then divides by the area.
    doublings = min(area.bit_length() - 1, 32, 62 - shift)
    spec = Requantize(
        multiplier=np.array([(multiplier << doublings) // area]),
        shift=np.array([shift + doublings]),
        rounding=Rounding.TFLITE,
    )
    whole = kernel == source.shape[1:]
    layer = AvgPool2d(
        name=call.name,
        input=source.layer,
        requantize=spec,
        output=call.output_type,
        kernel_size=None if whole else kernel,
    )
    return call.append_ordered(layer, [source])


def read_greatest(call: Call) -> Activation:
    """REDUCE_MAX over rows, columns or both: a maximum pool of one window."""
    source, kernel = _reduced(call)
    _same_scale(call, source)
    layer = MaxPool2d(name=call.name, input=source.layer, kernel_size=kernel, stride=(1, 1))
    return call.append_ordered(layer, [source])


def _reduced(call: Call) -> tuple[Activation, tuple[int, int]]:
    """Give an image or a sequence, and the window that an operator reduces to one pixel."""
    source = call.unpadded(0)
    axes = {int(axis) % len(source.tensor.shape) for axis in call.constant(1).ravel()}
    match source.tensor.shape:
        case (1, _, _, _):
            wanted = {1, 2}
        case (1, _, _):
            wanted = {1}
        case shape:
            raise TfliteError([f"reduces shape {shape}; images (1, H, W, C) are supported"])
    if not axes or not axes <= wanted:
        raise TfliteError(["reduces other axes than height and width, 1 and 2: not supported"])
    if len(wanted) == 2 or not source.is_ordered:
        source = call.draft.arrange(source)
    _, height, width = source.shape
    if wanted == {1}:
        return source, (height, width)
    return source, (height if 1 in axes else 1, width if 2 in axes else 1)


def _window(call: Call) -> tuple[Activation, tuple[int, int], tuple[int, int], Padding]:
    source, options = call.draft.pad(call.image(0)), call.operator.options
    kernel = options.FilterHeight(), options.FilterWidth()
    stride = options.StrideH(), options.StrideW()
    padding: Padding = (0, 0, 0, 0)
    if options.Padding() == SAME:
        padding = same_padding(source.shape, kernel, stride)
    return source, kernel, stride, padding


def _same_scale(call: Call, source: Activation) -> None:
    if source.scale != float(call.output.scale[0]) or source.type != call.output_type:
        raise TfliteError(["changes the scale; TFLite's pools keep scale and zero point"])
