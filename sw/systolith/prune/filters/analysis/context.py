"""A call of a recording, with the channels of all values before it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import numpy as np
from torch import Tensor, fx

from systolith.prune.filters.analysis.channels import Channels, Labels
from systolith.trace import Call

__all__ = [
    "IMAGE_AXES",
    "SEQUENCE_AXES",
    "CallInContext",
    "ChannelEffect",
    "Outcome",
    "tie_groups",
]

IMAGE_AXES = 4
"""N, C, H, W."""
SEQUENCE_AXES = 3
"""N, C, L."""


class ChannelEffect(Enum):
    """How channels go through an operation."""

    KEEP = auto()
    """Each on its own, and zero stays zero."""
    REPEAT = auto()
    """As KEEP, and each becomes several neighbours: flattening."""
    NORMALIZE = auto()
    """Each on its own; zero becomes something else, which the module's parameters can undo."""
    DEPTHWISE = auto()
    """Each on its own, with its own filters."""
    PRODUCE = auto()
    """Each filter reads all of them, or those of its group, and makes a new one."""
    MIX = auto()
    """Anything else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallInContext:
    """A call of a recording, and the channels of all values before it.

    Parameters
    ----------
    call : Call
    shapes : mapping of fx.Node to tuple of int
        Of all tensors before.
    labels : mapping of fx.Node to Labels
        Channels of all values before.
    channels : Channels
        Changed: what the call ties is united.
    """

    call: Call
    shapes: Mapping[fx.Node, tuple[int, ...]]
    labels: Mapping[fx.Node, Labels]
    channels: Channels

    def argument(self, name: str, default: Any = None) -> Any:
        """Argument by the name of its parameter."""
        return self.call.arguments.get(name, default)

    @property
    def subject(self) -> fx.Node | None:
        """The first argument, if it has channels, and no other tensor has any."""
        first = self.argument("input")
        if not isinstance(first, fx.Node) or len(self.shapes.get(first, ())) < 2:
            return None
        others = (node for node in self.call.node.all_input_nodes if node != first)
        constants = (value for value in self.call.arguments.values() if isinstance(value, Tensor))
        if any(len(self.labels[node]) for node in others) or any(c.ndim > 1 for c in constants):
            return None
        return first

    @property
    def image(self) -> fx.Node | None:
        """The subject, if its shape is (N, C, H, W)."""
        first = self.image_or_sequence
        return first if first is not None and len(self.shapes[first]) == IMAGE_AXES else None

    @property
    def image_or_sequence(self) -> fx.Node | None:
        """The subject, if its shape is (N, C, H, W) or (N, C, L)."""
        first = self.subject
        if first is None or self.labels[first].ndim > 1:  # channels are written as groups
            return None
        return first if len(self.shapes[first]) in (IMAGE_AXES, SEQUENCE_AXES) else None

    def operand(self, name: str) -> tuple[tuple[int, ...], Labels] | None:
        """Shape and channels of an argument; those of a constant tensor have to stay."""
        value = self.argument(name)
        if isinstance(value, fx.Node) and value in self.shapes:
            return self.shapes[value], self.labels[value]
        if isinstance(value, Tensor) and value.ndim > 1:
            labels = self.channels.fresh(value.shape[1])
            self.channels.fix(labels, "it is tied to a constant")
            return tuple(value.shape), labels
        return None


Outcome = tuple[ChannelEffect, Labels]


def tie_groups(channels: Channels, labels: Labels, groups: int) -> None:
    """Tie channels that are at the same place of each of `groups` parts of equal size."""
    parts = np.split(labels, groups)
    for part in parts[1:]:
        channels.unite(parts[0], part)
