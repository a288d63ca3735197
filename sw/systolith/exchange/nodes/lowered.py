"""Convolutions that qonnx and FINN lowered: Im2Col, then MatMul, both with channels last."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from systolith.exchange.errors import ExchangeError
from systolith.exchange.file.model_file import Node
from systolith.exchange.layers.draft import Draft
from systolith.exchange.layers.operands import activation_of
from systolith.exchange.nodes.geometry import append_pad
from systolith.exchange.nodes.weighted import read_conv, read_linear, weights_of
from systolith.exchange.values.layouts import move_elements, pad_input, shape_of
from systolith.exchange.values.value import (
    Absent,
    LoweredImage,
    ModelInput,
    PendingLayer,
    QuantizedConstant,
    Value,
)

__all__ = ["read_im2col", "read_matmul"]


def read_im2col(node: Node, values: Sequence[Value], draft: Draft) -> Value:
    """Read Im2Col, which writes the windows of images (N, H, W, C) one beside the other."""
    shape = shape_of(values[0])
    if shape is None or len(shape) != 3:
        raise ExchangeError.of(f"reads shape {shape}; images (N, H, W, C) are supported")
    lists = {
        name: [int(size) for size in node.attributes[name] or ()]
        for name in ("kernel_size", "stride", "pad_amount", "dilations")
    }
    for name, sizes in lists.items():
        count = 4 if name == "pad_amount" else 2
        if len(sizes) != count:
            raise ExchangeError.of(f"has {name} {tuple(sizes)}; {count} numbers are supported")
    top, left, bottom, right = lists["pad_amount"]
    return LoweredImage(
        node=str(node),
        of=values[0],
        kernel=(lists["kernel_size"][0], lists["kernel_size"][1]),
        stride=(lists["stride"][0], lists["stride"][1]),
        pads=(top, left, bottom, right),
        dilation=(lists["dilations"][0], lists["dilations"][1]),
        fill=float(node.attributes["pad_value"]),
    )


def read_matmul(node: Node, values: Sequence[Value], draft: Draft) -> Value:
    """Read MatMul of an activation and constant weights: a linear layer or a convolution."""
    x = values[0]
    if isinstance(x, LoweredImage):
        return _read_lowered(node, x, values[1], draft)
    shape = shape_of(x)
    matrix = weights_of(values[1], axis=1).integers
    if shape is not None and len(shape) == 3 and matrix.shape[:1] == shape[2:]:
        return _read_lowered(node, LoweredImage(node=str(node), of=x), values[1], draft)
    return read_linear(node, values, draft, transposed=True)


def _read_lowered(node: Node, x: LoweredImage, weights: Value, draft: Draft) -> Value:
    """Read the convolution that a product of windows and weights is."""
    matrix = weights_of(weights, axis=1)
    shape = shape_of(x.of)
    assert shape is not None
    taps = x.kernel[0] * x.kernel[1] * shape[2]
    if matrix.integers.ndim != 2 or len(matrix.integers) != taps:
        raise ExchangeError.of(
            f"has weights of shape {matrix.integers.shape} for windows of {taps} values"
        )
    image, pads = move_elements(x.of, lambda parts: parts.transpose(2, 0, 1)), x.pads
    if x.fill and any(pads):
        image, pads = _pad(node, image, x, draft), (0, 0, 0, 0)
    kernels, groups = _kernels(matrix, x.kernel, shape[2])
    convolution = replace(
        node,
        attributes={
            "auto_pad": "NOTSET",
            "dilations": list(x.dilation),
            "group": groups,
            "kernel_shape": list(x.kernel),
            "pads": list(pads),
            "strides": list(x.stride),
        },
    )
    made = read_conv(convolution, [image, kernels, Absent()], draft)
    return move_elements(made, lambda parts: parts.transpose(1, 2, 0))


def _pad(node: Node, image: Value, x: LoweredImage, draft: Draft) -> Value:
    """Surround an image with another number than 0."""
    top, left, bottom, right = x.pads
    if isinstance(image, ModelInput) and image.quantizer is None:
        return pad_input(image, [(0, 0), (top, bottom), (left, right)], x.fill)
    read = image if isinstance(image, PendingLayer) else activation_of(image, draft)
    return append_pad(node, read, (top, bottom, left, right), x.fill, draft)


def _kernels(
    matrix: QuantizedConstant, kernel: tuple[int, int], channels: int
) -> tuple[QuantizedConstant, int]:
    """Give the kernels of a matrix (taps * channels, filters), and the number of groups.

    A depthwise convolution was lowered to a matrix with zeros for all other channels.
    """
    filters = matrix.integers.shape[1]
    integers = matrix.integers.T.reshape(filters, *kernel, channels).transpose(0, 3, 1, 2)
    scale = matrix.scale.reshape(-1, 1, 1, 1)
    own = np.eye(filters, channels, dtype=bool)
    if filters != channels or channels == 1 or integers[~own].any():
        return replace(matrix, integers=integers, scale=scale), 1
    depthwise = integers[own][:, None]
    bits = 1 if matrix.bits == 2 and (np.abs(depthwise) == 1).all() else matrix.bits
    return replace(matrix, integers=depthwise, scale=scale, bits=bits), channels
