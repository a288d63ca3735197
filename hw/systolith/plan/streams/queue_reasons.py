"""Why each queue of a pipeline is there, and what waits in it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from systolith.plan.moving.concat_plan import ConcatPlan
from systolith.plan.streams.fork_plan import LEAST_DEPTH, ForkPlan
from systolith.plan.streams.gearbox_plan import GearboxPlan
from systolith.plan.streams.stage_graph import Edge, StageGraph, StagePlan

__all__ = ["Queue", "list_queues"]

NAMED = 3
"""Engines of a branch that are named one by one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """A queue of a fork.

    Attributes
    ----------
    fork : ForkPlan
        The stage that fills it.
    branch : int
        Number of the queue within its stage.
    reader : str, optional
        The engine that reads it, perhaps through gearboxes; None for an output of the network.
    reason : str
        What its transfers wait for.
    """

    fork: ForkPlan
    branch: int
    reader: str | None
    reason: str

    @property
    def depth(self) -> int:
        """Transfers that it holds."""
        return self.fork.depths[self.branch]

    @property
    def width(self) -> int:
        """Bits of a transfer."""
        return self.fork.lanes * self.fork.output.type.bits

    @property
    def deep(self) -> bool:
        """Whether it is in block memory."""
        return self.fork.deep[self.branch]


def list_queues(graph: StageGraph) -> tuple[Queue, ...]:
    """List all queues whose depths the cycle model has found, in the order of the data flow."""
    return tuple(_Branches(graph).queues())


class _Branches:
    def __init__(self, graph: StageGraph) -> None:
        self.stages = {stage.name: stage for stage in graph.stages}
        self.order = [*self.stages]
        self.after: dict[str, list[Edge]] = {}
        for edge in graph.edges:
            self.after.setdefault(edge.source, []).append(edge)

    def queues(self) -> Iterator[Queue]:
        for stage in self.stages.values():
            if not isinstance(stage, ForkPlan):
                continue
            for branch in range(len(stage.depths)):
                reader = self._reader(stage.name, branch)
                yield Queue(
                    fork=stage,
                    branch=branch,
                    reader=None if reader is None else reader.name,
                    reason=self._reason(stage, branch, reader),
                )

    def _reason(self, fork: ForkPlan, branch: int, reader: StagePlan | None) -> str:
        if fork.depths[branch] == LEAST_DEPTH:
            return "nothing waits; the least depth"
        if len(fork.depths) == 1:
            return self._reason_of_widths(reader)
        reached = self._reached(fork.name, branch)
        others = {
            other: self._reached(fork.name, other)
            for other in range(len(fork.depths))
            if other != branch
        }
        meetings = [
            (name, other) for name in reached for other, names in others.items() if name in names
        ]
        if not meetings:
            who = "the output" if reader is None else f"'{reader.name}'"
            return f"the other branches must not wait while {who} takes nothing"
        meeting, other = meetings[0]
        between = [
            name
            for name in others[other]
            if self.order.index(name) < self.order.index(meeting) and name not in reached
        ]
        engines = [name for name in between if not isinstance(self.stages[name], _STREAMS)]
        return f"'{meeting}' waits for the branch {_through(engines)}"

    def _reason_of_widths(self, reader: StagePlan | None) -> str:
        if isinstance(reader, ConcatPlan):
            return f"'{reader.name}' takes the transfers of this input in bursts"
        return "the gearbox before it gives several transfers before the one behind it takes any"

    def _reader(self, name: str, branch: int) -> StagePlan | None:
        """Follow a stream through stages that only change its width or hold it."""
        edge = next(edge for edge in self.after[name] if edge.branch == branch)
        if edge.target is None:
            return None
        stage = self.stages[edge.target]
        narrow = isinstance(stage, GearboxPlan)
        narrow |= isinstance(stage, ForkPlan) and len(stage.depths) == 1
        return self._reader(stage.name, 0) if narrow else stage

    def _reached(self, name: str, branch: int) -> list[str]:
        """List the stages behind a branch, in the order of the data flow."""
        reached = {edge.target for edge in self.after[name] if edge.branch == branch}
        for stage in self.order:
            if stage in reached:
                reached |= {edge.target for edge in self.after.get(stage, ())}
        return [stage for stage in self.order if stage in reached]


_STREAMS = GearboxPlan | ForkPlan


def _through(engines: Sequence[str]) -> str:
    if not engines:
        return "beside it"
    names = ", ".join(f"'{name}'" for name in engines[:NAMED])
    more = len(engines) - NAMED
    return f"through {names}" + (f" and {more} more" if more > 0 else "")
