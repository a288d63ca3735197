"""Nodes that move pixels: padding of any kind, cropping, and enlarging by whole numbers."""

from collections.abc import Sequence
from dataclasses import replace
from math import ceil, floor

import numpy as np

from systolith.exchange.errors import ExchangeError
from systolith.exchange.file.model_file import Node
from systolith.exchange.layers.draft import Draft
from systolith.exchange.layers.operands import constant_of, integer_constants_of
from systolith.exchange.layers.plain import append_layer
from systolith.exchange.values.layouts import axes_of, shape_of
from systolith.exchange.values.value import (
    Absent,
    ModelInput,
    PendingLayer,
    QuantizedActivation,
    Value,
)
from systolith.network import Pad2d, Padding, Shape, Upsample

__all__ = ["append_border", "append_pad", "crop_image", "image_shape", "resize_nearest", "sizes_of"]


def append_pad(
    node: Node,
    x: QuantizedActivation | PendingLayer,
    padding: Padding,
    fill: float,
    draft: Draft,
) -> Value:
    """Append a layer that adds rows and columns of a real number, and cuts negative ones off.

    Raises
    ------
    ExchangeError
        If no integer stands for the number.
    """
    x = _ordered(x, draft)
    value = None
    if fill:
        if isinstance(x, PendingLayer):
            raise ExchangeError.of(
                f"pads with {fill:g} what is not quantized; put a quantizer before"
            )
        value = _integer_of(x, fill)
    elif isinstance(x, PendingLayer) and max(padding) > 0:
        raise ExchangeError.of("pads and cuts off what is not quantized; put a quantizer before")

    def follow(name: str, source: str) -> Pad2d:
        return Pad2d(name=name, input=source, padding=padding, value=value)

    return append_layer(node, x, follow, draft)


def append_border(
    node: Node, x: QuantizedActivation | PendingLayer, padding: Padding, draft: Draft
) -> Value:
    """Append a layer that repeats the borders, and cuts negative rows and columns off."""

    def follow(name: str, source: str) -> Pad2d:
        return Pad2d(name=name, input=source, padding=padding, edge=True)

    return append_layer(node, _ordered(x, draft), follow, draft)


def _integer_of(x: QuantizedActivation, fill: float) -> int:
    act = x.tensor.type
    value = round(fill / x.scale) + act.zero_point
    real = np.float32(x.scale) * np.float32(value - act.zero_point)
    if x.origin or real != np.float32(fill) or not act.low <= value <= act.high:
        raise ExchangeError.of(
            f"pads with {fill:g}, which is no value of its input: integers of {act} in steps of "
            f"{x.scale:g}"
        )
    return value


def _ordered(
    x: QuantizedActivation | PendingLayer, draft: Draft
) -> QuantizedActivation | PendingLayer:
    """Give an image in the layer's own order, with its padding as a layer."""
    axes = axes_of(x)
    if x.places is not None and draft.lenient:
        x = replace(x, places=None)
    elif axes != (0, 1, 2):
        raise ExchangeError.of(
            f"reads shape {shape_of(x)}; images (N, C, H, W) in the layer's own order are supported"
        )
    x = replace(x, places=None)
    if isinstance(x, QuantizedActivation):
        return draft.pad_apart(x)
    if any(x.padding):
        raise ExchangeError.of("reads a padded image that is not quantized; put a quantizer before")
    return x


def resize_nearest(node: Node, values: Sequence[Value], draft: Draft) -> Value:
    """Read Resize by whole numbers to nearest neighbours."""
    return _enlarge(node, values[0], image_shape(values[0]), sizes_of(values)[0], draft)


def sizes_of(values: Sequence[Value]) -> tuple[list[int], Sequence[float | None]]:
    """Give the size that a Resize makes of each axis of an image, and its scales, if it has some.

    Raises
    ------
    ExchangeError
        If it has another number of scales.
    """
    shape = image_shape(values[0])
    if not isinstance(values[3], Absent):
        return integer_constants_of(values[3], "sizes")[1:], [None] * len(shape)
    scales = constant_of(values[2], "scales").reshape(-1).tolist()
    if len(scales) != 1 + len(shape):
        raise ExchangeError.of(f"has scales {scales} for {1 + len(shape)} axes")
    return [floor(size * by) for size, by in zip(shape, scales[1:], strict=True)], scales[1:]


def image_shape(x: Value) -> Shape:
    """Give the shape of images in the file; ExchangeError for anything else."""
    shape = shape_of(x)
    if shape is None or len(shape) != 3:
        raise ExchangeError.of(f"reads shape {shape}; images (N, C, H, W) are supported")
    return shape


def _enlarge(node: Node, x: Value, shape: Shape, sizes: Sequence[int], draft: Draft) -> Value:
    factors = tuple(wanted // size for wanted, size in zip(sizes, shape, strict=True))
    way = node.attributes["coordinate_transformation_mode"], node.attributes["nearest_mode"]
    nearest = all(
        wanted == size * by and _repeats(wanted, size, by, *way)
        for wanted, size, by in zip(sizes, shape, factors, strict=True)
    )
    if factors[0] != 1 or not nearest:
        raise ExchangeError.of(
            f"resizes {shape} to {tuple(sizes)} ({way[0]}, {way[1]}); pixels repeated a whole "
            "number of times along height and width are supported (asymmetric, floor)"
        )
    if isinstance(x, ModelInput) and x.quantizer is None:
        return x.move(lambda pixels: pixels.repeat(factors[1], axis=1).repeat(factors[2], axis=2))
    if isinstance(x, ModelInput):
        x = draft.read_input(x)
    assert isinstance(x, QuantizedActivation | PendingLayer)

    def follow(name: str, source: str) -> Upsample:
        return Upsample(name=name, input=source, factors=(factors[1], factors[2]))

    return append_layer(node, _ordered(x, draft), follow, draft)


def _repeats(wanted: int, size: int, by: int, transformation: str, rounding: str) -> bool:
    """Whether each of `wanted` pixels reads pixel ``place // by`` of `size`."""
    return all(
        _source(place, wanted, size, transformation, rounding) == place // by
        for place in range(wanted)
    )


def _source(place: int, wanted: int, size: int, transformation: str, rounding: str) -> int | None:
    """Pixel that a pixel reads, as ONNX defines it; None for what is not known."""
    by = wanted / size
    match transformation:
        case "asymmetric":
            at = place / by
        case "half_pixel" | "half_pixel_symmetric":
            at = (place + 0.5) / by - 0.5
        case "pytorch_half_pixel":
            at = (place + 0.5) / by - 0.5 if wanted > 1 else 0.0
        case "align_corners":
            at = place * (size - 1) / (wanted - 1) if wanted > 1 else 0.0
        case _:
            return None
    match rounding:
        case "floor":
            nearest = floor(at)
        case "ceil":
            nearest = ceil(at)
        case "round_prefer_floor":
            nearest = ceil(at - 0.5)
        case "round_prefer_ceil":
            nearest = floor(at + 0.5)
        case _:
            return None
    return min(max(nearest, 0), size - 1)


def crop_image(node: Node, values: Sequence[Value], draft: Draft) -> Value:
    """Read Slice of rows and columns in steps of 1."""
    x, shape = values[0], image_shape(values[0])
    starts, ends = (
        node.attributes[name] or integer_constants_of(value, name)
        for name, value in zip(("starts", "ends"), values[1:3], strict=True)
    )
    axes = node.attributes["axes"] or list(range(len(starts)))
    if not isinstance(values[3], Absent):
        axes = integer_constants_of(values[3], "axes")
    steps = [1] * len(starts)
    if not isinstance(values[4], Absent):
        steps = integer_constants_of(values[4], "steps")
    parts = [range(size) for size in shape]
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        axis %= 4
        if axis == 0 or step != 1:
            raise ExchangeError.of(
                f"takes every {step}. of axis {axis}; steps of 1 along rows and columns are "
                "supported"
            )
        parts[axis - 1] = parts[axis - 1][slice(start, end)]
    if min(map(len, parts)) < 1:
        raise ExchangeError.of("leaves nothing")
    if isinstance(x, ModelInput) and x.quantizer is None:
        return x.move(lambda pixels: pixels[tuple(slice(p.start, p.stop) for p in parts)])
    if len(parts[0]) != shape[0]:
        raise ExchangeError.of("takes some of the channels; rows and columns are supported")
    if isinstance(x, ModelInput):
        x = draft.read_input(x)
    assert isinstance(x, QuantizedActivation | PendingLayer)
    (top, bottom), (left, right) = (
        (-part.start, part.stop - size) for part, size in zip(parts[1:], shape[1:], strict=True)
    )
    if not any((top, bottom, left, right)):
        return x
    return append_pad(node, x, (top, bottom, left, right), 0.0, draft)
