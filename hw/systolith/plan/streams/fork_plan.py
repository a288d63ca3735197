"""A stream that is copied into a queue for each of its readers."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from systolith.plan.engines.lanewise_plan import LanewisePlan
from systolith.plan.errors import PlanError
from systolith.plan.sizes.latency import DEEP_LATENCY, DEEP_ROOM_LATENCY

__all__ = ["DEEP", "LEAST_DEPTH", "ForkPlan"]

DEEP = 64
"""Queues of at least this many transfers are in block memory, which has a longer latency."""
LEAST_DEPTH = 2
"""Transfers; a transfer can then enter while another leaves."""


@dataclass(frozen=True, kw_only=True)
class ForkPlan(LanewisePlan):
    """One stream copied into several queues, so that its readers may run at different times.

    Where branches meet again in an addition, the queue of the shorter branch holds the transfers
    that wait for the longer one. With a single reader a fork is a queue.

    Parameters
    ----------
    name, output, lanes
        As in :class:`LanewisePlan`; a stage that is no layer, and the contents of the stream.
    depths : tuple of int
        Transfers that each reader's queue holds, at least :data:`LEAST_DEPTH`.

    Raises
    ------
    PlanError
        If there is no queue, a queue is too shallow, or there are no lanes.
    """

    depths: tuple[int, ...]

    def __post_init__(self) -> None:
        PlanError.raise_if_any(self._problems())

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
        """Cycles from a transfer to each reader until its room can be used again."""
        return tuple(DEEP_ROOM_LATENCY if deep else 1 for deep in self.deep)

    def with_depth(self, branch: int, depth: int) -> "ForkPlan":
        """Return the same fork with another depth of one queue."""
        depths = (*self.depths[:branch], depth, *self.depths[branch + 1 :])
        return replace(self, depths=depths)

    def _problems(self) -> Iterator[str]:
        if self.lanes < 1:
            yield f"fork '{self.name}': lanes must be at least 1, got {self.lanes}"
        if not self.depths:
            yield f"fork '{self.name}': needs at least one queue"
        for branch, depth in enumerate(self.depths):
            if depth < LEAST_DEPTH:
                yield (
                    f"fork '{self.name}': queue {branch} must hold at least {LEAST_DEPTH} "
                    f"transfers, got {depth}"
                )
