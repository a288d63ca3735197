"""TRANSPOSE_CONV, as a convolution of all its phases."""

from math import prod

import numpy as np

from systolith.network import (
    Conv2d,
    DepthToSpace,
    Layer,
    Pad2d,
    Padding,
    PhaseWindow,
    split_phases,
)
from systolith.tflite.activation import Activation
from systolith.tflite.errors import TfliteError
from systolith.tflite.operators.operands import Call, network_shape
from systolith.tflite.operators.weighted import SAME, bias_of, channel_scales, weights_of
from systolith.tflite.scales import activation_range, requantize_as_tflite

__all__ = ["read_transposed"]

WEIGHTS, SOURCE, BIAS = 1, 2, 3
"""Inputs of the operator; the first one is the shape of the result."""


def read_transposed(call: Call) -> Activation:
    """TRANSPOSE_CONV: weights are (F, Kh, Kw, C) in the file; zeros between pixels cost nothing."""
    source, options, output = call.draft.pad(call.image(SOURCE)), call.operator.options, call.output
    weight = weights_of(call, 4, axis=0)
    strides = (options.StrideH(), options.StrideW())
    filters, *kernel, channels = weight.shape
    if channels != source.shape[0]:
        raise TfliteError([f"has weights of {channels} channels, reads {source.shape[0]}"])
    windows = [
        _window(size, given, taps, stride, same=options.Padding() == SAME)
        for size, given, taps, stride in zip(
            source.shape[1:], network_shape(output)[1:], kernel, strides, strict=True
        )
    ]
    padding: Padding = (windows[0].before, windows[0].after, windows[1].before, windows[1].after)
    act, phases = call.output_type, prod(strides)
    scales = channel_scales(call, filters, SOURCE) * phases
    clamp = activation_range(options.FusedActivationFunction(), output, act)
    cut: Padding = (
        -windows[0].cut_before,
        -windows[0].cut_after,
        -windows[1].cut_before,
        -windows[1].cut_after,
    )
    names = [call.unused("phases")] * (phases > 1) + [call.unused("uncut")] * any(cut) + [call.name]
    layers: list[Layer] = [
        Conv2d(
            name=names.pop(0),
            input=source.layer,
            weight=split_phases(weight.transpose(3, 0, 1, 2), strides, 1),
            bias=np.tile(bias_of(call, filters, BIAS), phases),
            requantize=requantize_as_tflite(scales, clamp),
            output=act,
            padding=padding,
        )
    ]
    if phases > 1:
        layers.append(DepthToSpace(name=names.pop(0), input=layers[-1].name, block=strides))
    if any(cut):
        layers.append(Pad2d(name=names.pop(0), input=layers[-1].name, padding=cut))
    return call.append_all(layers, source)


def _window(size: int, given: int, taps: int, stride: int, *, same: bool) -> PhaseWindow:
    """Compute padding and cuts along one axis, as the kernel pads the convolution backwards."""
    before = max((size - 1) * stride + taps - given, 0) // 2 if same else 0
    window = PhaseWindow.of(size, given, taps, stride, before)
    if window.after >= -(-taps // stride):
        raise TfliteError([f"makes {given} pixels of {size}: more than its kernel reaches"])
    return window
