"""Draw layers that move values."""

import numpy as np

from systolith.fuzz.choices import Choices
from systolith.fuzz.layers import (
    MOST_CHANNELS,
    MOST_FILTERS,
    MOST_PADDING,
    MOST_SPREAD,
    MOST_STRIDE,
)
from systolith.network import (
    ActType,
    Concat,
    DepthToSpace,
    Pad2d,
    SelectChannels,
    Shape,
    SpaceToDepth,
    Upsample,
)

__all__ = ["draw_blocks", "draw_concat", "draw_pad", "draw_selection", "draw_upsample"]


def draw_pad(choices: Choices, name: str, source: str, shape: Shape, act: ActType) -> Pad2d:
    """Draw padding by the zero point, any value or the border, and cropping that leaves a pixel."""
    sides: list[int] = []
    crops = choices.chance(50)
    for length in shape[1:]:
        most = length - 1 if crops else 0
        before = choices.integer(-most, MOST_PADDING)
        sides += [before, choices.integer(-max(most + min(before, 0), 0), MOST_PADDING)]
    value = choices.integer(act.low, act.high) if choices.chance(50) else None
    padding = sides[0], sides[1], sides[2], sides[3]
    edge = value is None and choices.chance(50)
    return Pad2d(name=name, input=source, padding=padding, value=value, edge=edge)


def draw_upsample(choices: Choices, name: str, source: str) -> Upsample:
    """Draw an upsampling."""
    factors = choices.integer(1, MOST_STRIDE), choices.integer(1, MOST_STRIDE)
    return Upsample(name=name, input=source, factors=factors)


def draw_concat(choices: Choices, name: str, source: str, partners: list[str]) -> Concat:
    """Draw a concatenation of a tensor and one or two others, in any order."""
    others = [choices.one_of(partners) for _ in range(choices.integer(1, 2))]
    place = choices.integer(0, len(others))
    return Concat(name=name, inputs=(*others[:place], source, *others[place:]))


def draw_selection(choices: Choices, name: str, source: str, shape: Shape) -> SelectChannels:
    """Draw a slice, a shuffle of groups, or any channels in any order."""
    count = shape[0]
    match choices.integer(1, 3):
        case 1:
            start = choices.integer(0, count - 1)
            channels = list(range(start, choices.integer(start + 1, count)))
        case 2:
            groups = choices.one_of([size for size in range(1, count + 1) if count % size == 0])
            channels = np.arange(count).reshape(groups, -1).T.ravel().tolist()
        case _:
            channels = [
                choices.integer(0, count - 1) for _ in range(choices.integer(1, MOST_FILTERS))
            ]
    return SelectChannels(name=name, input=source, channels=tuple(channels))


def draw_blocks(
    choices: Choices, name: str, source: str, shape: Shape
) -> DepthToSpace | SpaceToDepth | None:
    """Draw a layer that moves blocks of pixels; None if the shape has no blocks."""
    channels, height, width = shape
    layers: list[DepthToSpace | SpaceToDepth] = []
    for rows, columns in ((2, 2), (3, 3), (1, 2), (2, 1), (3, 2), (1, 4)):
        block, size = (rows, columns), rows * columns
        if channels % size == 0 and max(height * rows, width * columns) <= MOST_SPREAD:
            layers.append(DepthToSpace(name=name, input=source, block=block))
        if height % rows == width % columns == 0 and channels * size <= MOST_CHANNELS:
            layers.append(SpaceToDepth(name=name, input=source, block=block))
    return choices.one_of(layers) if layers else None
