"""A stream that one or several stages read when they can."""

from dataclasses import dataclass, replace
from math import ceil

from systolith.network import Tensor
from systolith.plan.engines.latency import DEEP_LATENCY, DEEP_ROOM_LATENCY

__all__ = ["ForkPlan"]

DEEP = 64
"""Transfers from which on a queue is in block memory, which reads later."""


@dataclass(frozen=True, kw_only=True)
class ForkPlan:
    """One stream copied into several queues, so that its readers may run at different times.

    Where branches meet again in an addition, the queue of the shorter branch holds what the longer
    one has not computed yet. With a single reader it is just a queue.

    Parameters
    ----------
    name : str
        The stage.
    tensor : Tensor
        What travels.
    lanes : int
        Channels per transfer, on all sides.
    depths : tuple of int
        Transfers that each reader's queue holds, at least 2.
    """

    name: str
    tensor: Tensor
    lanes: int
    depths: tuple[int, ...]

    @property
    def lanes_in(self) -> int:
        """Channels in one input transfer."""
        return self.lanes

    @property
    def lanes_out(self) -> int:
        """Channels in one output transfer."""
        return self.lanes

    @property
    def pixels(self) -> int:
        """Pixels per frame."""
        _, *size = self.tensor.shape
        return size[0] * size[1] if size else 1

    @property
    def cycles(self) -> int:
        """Cycles per frame: one per transfer."""
        return self.pixels * ceil(self.tensor.shape[0] / self.lanes)

    @property
    def deep(self) -> tuple[bool, ...]:
        """Which queues are in block memory."""
        return tuple(depth >= DEEP for depth in self.depths)

    @property
    def latencies(self) -> tuple[int, ...]:
        """Cycles from a transfer to its offer, for each reader."""
        return tuple(DEEP_LATENCY if deep else 1 for deep in self.deep)

    @property
    def room_latencies(self) -> tuple[int, ...]:
        """Cycles from a transfer to its reader until it makes room, for each reader."""
        return tuple(DEEP_ROOM_LATENCY if deep else 1 for deep in self.deep)

    def with_depth(self, branch: int, depth: int) -> "ForkPlan":
        """The same with another depth of one queue."""
        depths = (*self.depths[:branch], depth, *self.depths[branch + 1 :])
        return replace(self, depths=depths)
