"""Rules for operators that select, split and rearrange channels.

Where parts have to stay equal in size, channels at the same place of each part leave together.
"""

import numpy as np
from torch import fx

from systolith.prune.filters.analysis.context import (
    CallInContext,
    ChannelEffect,
    Outcome,
    tie_groups,
)
from systolith.trace import Call

__all__ = [
    "changes_sizes",
    "exchange_channels",
    "group_channels",
    "index_channels",
    "move_to_channels",
    "move_to_pixels",
    "narrow_channels",
    "shuffle_channels",
    "split_channels",
]

_WHOLE = (slice(None), slice(0, None))
_PARTS = ("chunks", "split_size_or_sections", "indices_or_sections")
_MOVING = ("reshape", "flatten", "unflatten", "getitem", "narrow", "split")


def changes_sizes(call: Call) -> bool:
    """Whether a call only moves or reshapes values, so that its sizes may follow the channels."""
    return call.operator in _MOVING


def index_channels(call: CallInContext) -> Outcome | None:
    """Rows, columns and equal parts of the channels may be left out, images not."""
    given, index = call.argument("input"), call.argument("index")
    if given not in call.shapes and isinstance(index, int):
        parts = call.labels[given]
        return (ChannelEffect.KEEP, parts[index]) if parts.ndim > 1 else None
    first = call.subject
    if first is None or len(call.shapes[first]) != (axes := len(call.call.output)):
        return None
    index = index if isinstance(index, tuple) else (index,)
    if index[0] is Ellipsis:
        index = (slice(None),) * (axes - len(index) + 1) + index[1:]
    if not all(isinstance(part, slice) for part in index) or index[0] not in _WHOLE:
        return None
    if len(index) == 1 or index[1] in _WHOLE:
        return ChannelEffect.KEEP, call.labels[first]
    channels = range(call.shapes[first][1])[index[1]]
    return _take(call, first, channels.start, len(channels)) if channels.step == 1 else None


def _take(call: CallInContext, first: fx.Node, start: int, length: int) -> Outcome | None:
    # The other parts lose as many channels.
    labels = call.labels[first]
    if labels.ndim > 1 or not length or len(labels) % length or start % length:
        return None
    tie_groups(call.channels, labels, len(labels) // length)
    return ChannelEffect.KEEP, labels[start : start + length]


def narrow_channels(call: CallInContext) -> Outcome | None:
    """One of several equal parts of the channels."""
    first, axis = call.subject, call.argument("dim")
    start, length = call.argument("start"), call.argument("length")
    if first is None or axis != 1 or not isinstance(start, int) or not isinstance(length, int):
        return None
    return _take(call, first, start, length)


def split_channels(call: CallInContext) -> Outcome | None:
    """Equal parts of the channels."""
    first, axis = call.subject, call.argument("dim", 0)
    if first is None or axis % len(call.shapes[first]) != 1:
        return None
    number, labels = 0, call.labels[first]
    match next((call.argument(name) for name in _PARTS if name in call.call.arguments), None):
        case int(given) if given > 0 and len(labels) % given == 0:
            number = len(labels) // given if call.call.operator == "split" else given
        case [given, *others] if given > 0 and {given, *others} == {given}:
            number = 1 + len(others) if call.call.operator == "split" else 0
    if labels.ndim > 1 or not number:
        return None
    tie_groups(call.channels, labels, number)
    return ChannelEffect.KEEP, labels.reshape(number, -1)


def shuffle_channels(call: CallInContext) -> Outcome | None:
    """The first channels of all groups, then the second ones."""
    first, groups = call.image_or_sequence, call.argument("groups")
    if first is None:
        return None
    labels = call.labels[first]
    tie_groups(call.channels, labels, groups)
    return ChannelEffect.KEEP, labels.reshape(groups, -1).T.ravel()


def move_to_pixels(call: CallInContext) -> Outcome | None:
    """Blocks of channels as pixels; channels of one block leave together."""
    first, block = call.image, call.argument("upscale_factor")
    if first is None:
        return None
    blocks = call.labels[first].reshape(-1, block**2)
    for place in range(1, block**2):
        call.channels.unite(blocks[:, 0], blocks[:, place])
    return ChannelEffect.REPEAT, blocks[:, 0]


def move_to_channels(call: CallInContext) -> Outcome | None:
    """Blocks of pixels as channels."""
    first, block = call.image, call.argument("downscale_factor")
    if first is None:
        return None
    return ChannelEffect.REPEAT, np.repeat(call.labels[first], block**2)


def exchange_channels(call: CallInContext) -> Outcome | None:
    """Groups of channels and their places, as in a shuffle of channels."""
    first = call.subject
    if first is None or call.labels[first].ndim != 2:
        return None
    axes = list(range(len(call.shapes[first])))
    if call.call.operator == "permute":
        axes = [axis % len(axes) for axis in call.argument("dims")]
    else:
        one, other = (call.argument(name) % len(axes) for name in ("dim0", "dim1"))
        axes[one], axes[other] = axes[other], axes[one]
    exchanged = axes == [0, 2, 1, *range(3, len(axes))]
    return (ChannelEffect.KEEP, call.labels[first].T) if exchanged else None


def group_channels(call: CallInContext) -> Outcome | None:
    """Channels of images or sequences written as groups, (N, groups, C/groups, ...), or back."""
    first, after = call.subject, call.call.output
    if first is None:
        return None
    before, labels = call.shapes[first], call.labels[first]
    if call.image_or_sequence is not None and len(after) == len(before) + 1:
        if (before[0], *before[2:]) != (after[0], *after[3:]):
            return None
        tie_groups(call.channels, labels, after[1])
        return ChannelEffect.KEEP, labels.reshape(after[1], -1)
    if labels.ndim == 2 and len(after) == len(before) - 1:
        if (before[0], *before[3:]) == (after[0], *after[2:]):
            return ChannelEffect.KEEP, labels.ravel()
    return None
