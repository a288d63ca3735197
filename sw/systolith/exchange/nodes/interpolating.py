"""Resize: nearest neighbours, or straight lines between pixels."""

from collections.abc import Sequence

from systolith.exchange.errors import ExchangeError
from systolith.exchange.file.model_file import Node
from systolith.exchange.layers.draft import Draft
from systolith.exchange.layers.operands import ordered_activation_of
from systolith.exchange.layers.plain import make_average
from systolith.exchange.nodes.geometry import image_shape, resize_nearest, sizes_of
from systolith.exchange.nodes.integers import keep_integers
from systolith.exchange.values.value import ModelInput, Value
from systolith.network import Pad2d, Padding, Upsample

__all__ = ["read_resize", "read_resize_integers"]

CENTRES = ("half_pixel", "half_pixel_symmetric", "pytorch_half_pixel")
"""Transformations of coordinates that are one for whole factors."""


def read_resize(node: Node, values: Sequence[Value], draft: Draft) -> Value:
    """Read Resize by whole numbers."""
    if node.attributes["mode"] == "nearest":
        return resize_nearest(node, values, draft)
    return _resize_between(node, values, draft)


def read_resize_integers(node: Node, values: Sequence[Value], draft: Draft) -> Value:
    """Read Resize of integers, which is not linear: programs round such results each in their way.

    Raises
    ------
    ExchangeError
        If it is linear.
    """
    if node.attributes["mode"] != "nearest":
        raise ExchangeError.of("interpolates integers: put their DequantizeLinear before it")
    return keep_integers(resize_nearest)(node, values, draft)


def _resize_between(node: Node, values: Sequence[Value], draft: Draft) -> Value:
    """Read linear interpolation as an average of repeated pixels.

    A straight line between the centres of pixels is the average of a step function over the width
    of one pixel. With each pixel repeated 2s times, s results of a pixel are 2 places apart, and
    each averages 2s places; for an odd s, half of all this is enough. Outside of the image, its
    border pixels are repeated.
    """
    x = values[0]
    shape, (sizes, scales) = image_shape(x), sizes_of(values)
    factors = [
        wanted / size if scale is None else scale
        for wanted, size, scale in zip(sizes, shape, scales, strict=True)
    ]
    way = str(node.attributes["coordinate_transformation_mode"])
    whole = factors[0] == 1 and all(float(by).is_integer() and by >= 1 for by in factors)
    if way not in CENTRES or not whole:
        raise ExchangeError.of(
            f"interpolates {shape} to {tuple(sizes)} ({way}); whole factors of height and width "
            "with half_pixel are supported (align_corners=False), or mode 'nearest', or a trained "
            "ConvTranspose"
        )
    if isinstance(x, ModelInput) and x.quantizer is None:
        raise ExchangeError.of("interpolates what is not quantized; put a quantizer before it")
    read = draft.pad_apart(ordered_activation_of(x, draft))
    by = int(factors[1]), int(factors[2])
    times = _repeats(by[0]), _repeats(by[1])
    stride = times[0] // by[0], times[1] // by[1]
    above, left = (times[0] - stride[0]) // 2, (times[1] - stride[1]) // 2
    repeated = draft.append(
        f"{node.name}_repeated",
        read,
        lambda name, source: Upsample(name=name, input=source, factors=times),
    )
    if above or left:
        wide: Padding = (above, above, left, left)
        repeated = draft.append(
            f"{node.name}_extended",
            repeated,
            lambda name, source: Pad2d(name=name, input=source, padding=wide, edge=True),
        )
    return make_average(node, repeated, times, stride, (0, 0, 0, 0))


def _repeats(factor: int) -> int:
    return factor if factor % 2 else 2 * factor
