"""Pixels repeated, and pixels that become channels and back."""

import numpy as np

from systolith.network import DepthToSpace, SpaceToDepth, Upsample
from systolith.tflite.activation import Activation
from systolith.tflite.errors import TfliteError
from systolith.tflite.operators.operands import Call

__all__ = ["read_depth_to_space", "read_nearest", "read_space_to_depth"]


def read_depth_to_space(call: Call) -> Activation:
    """DEPTH_TO_SPACE: channels as pixels, in ONNX's order DCR."""
    source, block = _image(call), call.operator.options.BlockSize()
    return call.append(DepthToSpace(name=call.name, input=source.layer, block=block), [source])


def read_space_to_depth(call: Call) -> Activation:
    """SPACE_TO_DEPTH: pixels as channels."""
    source, block = _image(call), call.operator.options.BlockSize()
    return call.append(SpaceToDepth(name=call.name, input=source.layer, block=block), [source])


def read_nearest(call: Call) -> Activation:
    """RESIZE_NEAREST_NEIGHBOR, where it repeats each pixel equally often."""
    source, options = _image(call), call.operator.options
    _, *sizes = source.shape
    wanted = [int(size) for size in call.constant(1).ravel()]
    factors = [max(given // size, 1) for size, given in zip(sizes, wanted, strict=True)]
    for size, given, factor in zip(sizes, wanted, factors, strict=True):
        taken = _nearest(size, given, options.AlignCorners(), options.HalfPixelCenters())
        if taken != [place // factor for place in range(given)]:
            change = f"changes {tuple(sizes)} pixels to {tuple(wanted)} unevenly"
            raise TfliteError([f"{change}; resize by whole numbers, without aligned corners"])
    layer = Upsample(name=call.name, input=source.layer, factors=(factors[0], factors[1]))
    return call.append(layer, [source])


def _image(call: Call) -> Activation:
    return call.draft.pad(call.image(0))


def _nearest(size: int, wanted: int, aligned: bool, centred: bool) -> list[int]:
    """Give the place that each pixel of a line comes from, as the kernel computes it in float32."""
    single = np.float32
    ratio = single(size) / single(wanted)
    if aligned and wanted > 1:
        ratio = single(size - 1) / single(wanted - 1)
    offset = single(0.5) if centred else single(0)
    places = (np.arange(wanted, dtype=single) + offset) * ratio
    rounded = np.sign(places) * np.floor(np.abs(places) + 0.5) if aligned else np.floor(places)
    return [min(max(int(place), 0), size - 1) for place in rounded]
