"""Images divided into blocks: every n-th row and column is an image of its own.

Keras writes dilated convolutions so: SPACE_TO_BATCH_ND, a convolution of neighbouring pixels, and
BATCH_TO_SPACE_ND.
"""

from dataclasses import replace
from math import prod

import numpy as np

from systolith.network import IntArray
from systolith.tflite.activation import Activation
from systolith.tflite.errors import TfliteError
from systolith.tflite.operators.operands import Call
from systolith.tflite.places import image_places

__all__ = ["divide_places", "find_blocks", "read_batch_to_space", "read_space_to_batch"]


def read_space_to_batch(call: Call) -> Activation:
    """SPACE_TO_BATCH_ND: an image, padded with zeros, as several small images."""
    source = call.draft.arrange(call.activation(0))
    blocks, padding = _numbers(call)
    ends = padding
    if len(padding) == 1:
        ends = [*padding, (0, 0)] if source.shape[2] == 1 else [(0, 0), *padding]
    given = (end for pair in ends for end in pair)
    top, bottom, left, right = (a + b for a, b in zip(source.padding, given, strict=True))
    padded = replace(source, padding=(top, bottom, left, right))
    sizes = [
        size + sum(pair) for size, pair in zip(source.tensor.shape[1:-1], padding, strict=True)
    ]
    if any(size % block for size, block in zip(sizes, blocks, strict=True)):
        raise TfliteError([f"divides {tuple(sizes)} pixels into blocks of {tuple(blocks)}"])
    places = image_places(padded.whole_shape).reshape(1, *sizes, -1)
    return padded.view(call.output, divide_places(places, blocks))


def read_batch_to_space(call: Call) -> Activation:
    """BATCH_TO_SPACE_ND: small images as one image again, without its borders."""
    source = call.unpadded(0)
    blocks, crops = _numbers(call)
    if source.tensor.shape[0] != prod(blocks):
        images = f"joins {source.tensor.shape[0]} images"
        raise TfliteError([f"{images} in blocks of {tuple(blocks)}; one image is supported"])
    places = _join_places(source.places, blocks)
    sizes = places.shape[1:-1]
    ranges = [slice(low, size - high) for size, (low, high) in zip(sizes, crops, strict=True)]
    kept = places[(slice(None), *ranges)]
    viewed = source.view(call.output, kept)
    if kept.size == places.size:
        return viewed
    return call.draft.select(source, viewed.places, call.output)


def find_blocks(x: Activation) -> tuple[int, int] | None:
    """Find the blocks by which small images are parts of one image; None if there are none.

    Parameters
    ----------
    x : Activation
        Of shape (N, H, W, C) in the file.
    """
    if len(x.tensor.shape) != 4 or len(x.whole_shape) != 3:
        return None
    count, height, width, _ = x.tensor.shape
    rows, columns = x.whole_shape[1:]
    blocks = rows // max(height, 1), columns // max(width, 1)
    if prod(blocks) != count or (height * blocks[0], width * blocks[1]) != (rows, columns):
        return None
    wanted = divide_places(image_places(x.whole_shape)[None], blocks)
    return blocks if np.array_equal(x.places, wanted) else None


def divide_places(places: IntArray, blocks: tuple[int, ...]) -> IntArray:
    """Divide places of shape (1, H, W, C): shape (N, H / rows, W / columns, C).

    >>> divide_places(np.arange(4).reshape(1, 1, 4, 1), (1, 2))[:, 0, :, 0].tolist()
    [[0, 2], [1, 3]]
    """
    _, *sizes, channels = places.shape
    apart = [part for n, by in zip(sizes, blocks, strict=True) for part in (n // by, by)]
    count = len(blocks)
    order = [*range(1, 2 * count, 2), *range(0, 2 * count, 2), 2 * count]
    divided = places.reshape(*apart, channels).transpose(order)
    small = [n // by for n, by in zip(sizes, blocks, strict=True)]
    return divided.reshape(prod(blocks), *small, channels)


def _join_places(places: IntArray, blocks: tuple[int, ...]) -> IntArray:
    """Undo :func:`divide_places`."""
    _, *sizes, channels = places.shape
    count = len(blocks)
    order = [axis for number in range(count) for axis in (count + number, number)]
    joined = places.reshape(*blocks, *sizes, channels).transpose([*order, 2 * count])
    whole = [n * by for n, by in zip(sizes, blocks, strict=True)]
    return joined.reshape(1, *whole, channels)


def _numbers(call: Call) -> tuple[tuple[int, ...], list[tuple[int, int]]]:
    """Return the size of blocks, and what is added or dropped at both ends, for each axis.

    Raises
    ------
    TfliteError
        If they are not for each axis of an image or a sequence.
    """
    axes = len(call.activation(0).tensor.shape) - 2
    blocks = tuple(int(block) for block in call.constant(1).ravel())
    ends = call.constant(2)
    if len(blocks) != axes or ends.shape != (axes, 2) or min(blocks) < 1 or ends.min() < 0:
        raise TfliteError([f"has blocks of {blocks} for {axes} axes: not supported"])
    return blocks, [(int(low), int(high)) for low, high in ends]
