"""Orders of values: where each element of a file's tensor lies in a layer's result.

Images are (1, H, W, C) in a file and (C, H, W) in the network, sequences (1, L, C) and (C, 1, L).
"""

from dataclasses import dataclass

import numpy as np

from systolith.network import IntArray, Padding, Shape

__all__ = ["Selection", "find_selection", "image_places", "invert_places"]


@dataclass(frozen=True, slots=True)
class Selection:
    """Part of an image that is an image.

    Parameters
    ----------
    crops : Padding
        Rows and columns to drop, as negative padding.
    stride : pair of int
        Every how many rows and columns are kept.
    channels : tuple of int
        Channels, in their new order.
    repeats : pair of int
        How often each row and each column follows itself.
    """

    crops: Padding
    stride: tuple[int, int]
    channels: tuple[int, ...]
    repeats: tuple[int, int]


def image_places(shape: Shape) -> IntArray:
    """Give the places of an image, shape (H, W, C), in a result of shape (C, H, W).

    >>> image_places((2, 1, 3)).ravel().tolist()
    [0, 3, 1, 4, 2, 5]
    """
    count = shape[0] * shape[1] * shape[2]
    return np.arange(count).reshape(shape).transpose(1, 2, 0)


def invert_places(places: IntArray, shape: Shape) -> IntArray:
    """Give the element of a file's tensor at each place of a result of some shape."""
    inverse = np.empty(places.size, dtype=np.int64)
    inverse[places.ravel()] = np.arange(places.size)
    return inverse.reshape(shape)


def find_selection(places: IntArray, shape: Shape) -> Selection | None:
    """Find the crop, stride, channels and repetition that make an image of an image.

    Parameters
    ----------
    places : array of int64, shape (H, W, C)
        Of the wanted image, in the given one.
    shape : tuple of int
        Shape (C, H, W) of the given image.

    Returns
    -------
    Selection or None
        None if the pixels are no regular grid, or differ from channel to channel.

    >>> find_selection(image_places((2, 4, 4))[1:4:2, :3, ::-1], (2, 4, 4))
    Selection(crops=(-1, 0, 0, -1), stride=(2, 1), channels=(1, 0), repeats=(1, 1))
    """
    _, height, width = shape
    channels, pixels = np.divmod(places, height * width)
    rows, columns = np.divmod(pixels, width)
    row, column, channel = rows[:, 0, 0], columns[0, :, 0], channels[0, 0]
    if (
        (channels != channel).any()
        or (rows != row[:, None, None]).any()
        or (columns != column[None, :, None]).any()
    ):
        return None
    steps, repeats, lines = [], [], []
    for whole in (row, column):
        times = int((whole == whole[0]).sum())
        line = whole[::times]
        if not np.array_equal(np.repeat(line, times), whole):
            return None
        repeats.append(times)
        lines.append(line)
        step = int(line[1] - line[0]) if len(line) > 1 else 1
        if step < 1 or (np.diff(line) != step).any():
            return None
        steps.append(step)
    row, column = lines
    top, left = int(row[0]), int(column[0])
    crops = (-top, int(row[-1]) + 1 - height, -left, int(column[-1]) + 1 - width)
    chosen = tuple(channel.tolist())
    return Selection(crops, (steps[0], steps[1]), chosen, (repeats[0], repeats[1]))
