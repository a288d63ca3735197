"""The cycle model: the exact cycle of each transfer and pass, without simulating gates.

The stages are built so that every action happens in the first cycle in which its conditions hold.
Then the time of each event is a maximum of earlier times plus constants. A pipeline is a system of
such equations, back-pressure included; :mod:`systolith.plan.cycles.events` evaluates it.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from math import ceil

import numpy as np
from numpy.typing import NDArray

from systolith.network import INPUT
from systolith.plan.cycles import events, records
from systolith.plan.engines.add_plan import AddPlan
from systolith.plan.engines.arg_max_plan import ArgMaxPlan
from systolith.plan.engines.conv_plan import ConvPlan
from systolith.plan.engines.multiply_plan import MultiplyPlan
from systolith.plan.engines.pool_plan import PoolPlan
from systolith.plan.engines.table_plan import TablePlan
from systolith.plan.moving.block_plan import BlockPlan
from systolith.plan.moving.concat_plan import ConcatPlan
from systolith.plan.moving.select_plan import SelectPlan
from systolith.plan.sizes.latency import (
    ARRIVE_LATENCY,
    BUFFER_LATENCY,
    CREDIT_LATENCY,
    ENTRANCE_DEPTH,
    ENTRANCE_LATENCY,
)
from systolith.plan.sizes.window import Window
from systolith.plan.streams.fork_plan import ForkPlan
from systolith.plan.streams.gearbox_plan import GearboxPlan
from systolith.plan.streams.stage_graph import Edge, StageGraph, StagePlan, WindowedEngine

__all__ = ["Timeline", "compute_timeline"]

Ints = NDArray[np.int64]
Queue = tuple[Ints, Ints]
"""Cycles in which transfers enter, and in which their room can be used again."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Timeline:
    """Cycles of a run whose producer always offers and whose consumer always takes.

    Cycle 0 is the first in which the producer offers data, with the design out of reset.

    Attributes
    ----------
    first_input, last_output : tuple of int
        Cycle of each frame's first input, and of its last transfer at any output.
    queues : mapping of str to tuple of Queue
        Queues of each fork.
    """

    first_input: tuple[int, ...]
    last_output: tuple[int, ...]
    queues: Mapping[str, tuple[Queue, ...]]

    @cached_property
    def most_queued(self) -> Mapping[str, tuple[int, ...]]:
        """Most transfers in each queue of each fork."""
        return {
            name: tuple(_most_queued(*queue) for queue in queues)
            for name, queues in self.queues.items()
        }

    @property
    def latency(self) -> int:
        """Cycles from the first input transfer to the last output of the first frame, inclusive."""
        return self.last_output[0] - self.first_input[0] + 1

    @property
    def cycles(self) -> int:
        """Cycles from the first input transfer to the last output transfer, inclusive."""
        return self.last_output[-1] - self.first_input[0] + 1


def compute_timeline(graph: StageGraph, frames: int) -> Timeline:
    """Evaluate the cycle model.

    Parameters
    ----------
    graph : StageGraph
        A pipeline.
    frames : int
        Frames sent back to back.

    Returns
    -------
    Timeline

    Raises
    ------
    RuntimeError
        If the pipeline deadlocks, which a valid plan never does.
    """
    edges = graph.edges
    stages = {stage.name: stage for stage in graph.stages}
    sizes = [frames * _transfers(stages, edge) for edge in edges]
    begins = np.cumsum([0, *sizes])
    streams = np.zeros(len(edges), dtype=records.STREAM)
    streams["begin"] = begins[:-1]
    entering = next(number for number, edge in enumerate(edges) if edge.source == INPUT)
    leaving = [number for number, edge in enumerate(edges) if edge.target is None]
    streams[entering]["offers"] = sizes[entering]
    transfers = np.zeros(begins[-1], dtype=records.TRANSFER)
    model = _Tables(graph.stages, edges, frames).model(streams, transfers)
    waiting = np.ones(len(model.stages), dtype=np.bool_)
    events.evaluate_model(model, _neighbours(graph, edges), waiting)
    takes = streams["takes"].tolist()
    done, wanted = (sum(counts[number] for number in leaving) for counts in (takes, sizes))
    if done != wanted:
        raise RuntimeError(f"the pipeline deadlocks after {done} of {wanted} outputs")
    by_edge = {
        edge: transfers[begin:end]
        for edge, begin, end in zip(edges, begins, begins[1:], strict=False)
    }
    first, *last = (
        by_edge[edges[number]]["taken"].reshape(frames, -1)[:, place]
        for number, place in [(entering, 0), *((number, -1) for number in leaving)]
    )
    return Timeline(
        first_input=tuple(first.tolist()),
        last_output=tuple(np.max(last, axis=0).tolist()),
        queues={
            stage.name: tuple(
                (
                    by_edge[edge]["offered"] - stage.latencies[edge.branch],
                    by_edge[edge]["taken"] + stage.room_latencies[edge.branch],
                )
                for edge in edges
                if edge.source == stage.name
            )
            for stage in graph.stages
            if isinstance(stage, ForkPlan)
        },
    )


class _Tables:
    """The arrays of :class:`records.Model` that describe stages."""

    def __init__(self, stages: Sequence[StagePlan], edges: Sequence[Edge], frames: int) -> None:
        self.frames = frames
        self.stages: list[dict[str, int]] = []
        self.windows: list[NDArray[np.void]] = []
        self.pass_transfers: list[int] = []
        self.groups: list[tuple[int, int]] = []
        self.queues: list[tuple[int, int, int, int]] = []
        self.turns: list[tuple[int, int]] = []
        self.window_count = self.freed_count = 0
        into: dict[str | None, list[int]] = defaultdict(list)
        out_of: dict[str, list[int]] = defaultdict(list)
        for number, edge in enumerate(edges):
            into[edge.target].append(number)
            out_of[edge.source].append(number)
        for stage in stages:
            self.stages.append(self._stage(stage, into[stage.name], out_of[stage.name]))
        self.stages += [{"kind": events.SINK, "source": number} for number in into[None]]

    def model(self, streams: NDArray[np.void], transfers: NDArray[np.void]) -> records.Model:
        """Join the tables with the streams and their transfers."""
        names = records.STAGE.names or ()
        rows = [tuple(fields.get(name, 0) for name in names) for fields in self.stages]
        return records.Model(
            stages=np.array(rows, dtype=records.STAGE),
            streams=streams,
            transfers=transfers,
            windows=np.concatenate(self.windows or [np.zeros(0, dtype=records.WINDOW)]),
            pass_transfers=np.array(self.pass_transfers, dtype=np.int64),
            groups=np.array(self.groups, dtype=records.GROUP),
            queues=np.array(self.queues, dtype=records.QUEUE),
            turns=np.array(self.turns, dtype=records.TURN),
            freed_at=np.zeros(self.freed_count, dtype=np.int64),
        )

    def _stage(self, stage: StagePlan, sources: list[int], sinks: list[int]) -> dict[str, int]:
        """Describe a stage by fields of :data:`records.STAGE`; add its parts to the tables."""
        common = {"source": sources[0], "sink": sinks[0], "frames": self.frames}
        match stage:
            case ConvPlan() | PoolPlan() | BlockPlan():
                return common | self._engine(stage)
            case ConcatPlan():
                first = len(self.turns)
                self.turns += zip(sources, stage.turns, strict=True)
                return common | {
                    "kind": events.CONCAT,
                    "first_turn": first,
                    "branches": len(sources),
                    "capacity": stage.depth,
                    "latency": 1,
                    "free_latency": 1,
                }
            case GearboxPlan() if stage.narrows:
                return common | {
                    "kind": events.SPLIT,
                    "passes": stage.transfers_in,
                    "transfers_per_pixel": stage.transfers_out,
                    "capacity": stage.parts,
                    "latency": stage.latency,
                }
            case GearboxPlan() | SelectPlan():
                first, groups = len(self.groups), list(_register_groups(stage))
                self.groups += groups
                return common | {
                    "kind": events.GEARBOX,
                    "input_pixels": stage.pixels,
                    "passes": len(groups),
                    "first_group": first,
                }
            case ArgMaxPlan():
                return common | {
                    "kind": events.REDUCE,
                    "transfers_per_pixel": stage.transfers_in,
                    "latency": stage.latency + BUFFER_LATENCY,
                    "credit_latency": CREDIT_LATENCY,
                    "credit_spare": stage.fifo_depth - 1,
                }
            case TablePlan():
                return common | {
                    "kind": events.REDUCE,
                    "transfers_per_pixel": 1,
                    "latency": stage.latency + BUFFER_LATENCY,
                    "credit_latency": CREDIT_LATENCY,
                    "credit_spare": stage.fifo_depth - 1,
                }
            case AddPlan() | MultiplyPlan():
                return common | {
                    "kind": events.COMBINE,
                    "other": sources[1],
                    "capacity": ENTRANCE_DEPTH,
                    "arrive_latency": ENTRANCE_LATENCY,
                    "latency": stage.latency + BUFFER_LATENCY,
                    "credit_latency": CREDIT_LATENCY,
                    "credit_spare": stage.fifo_depth - 1,
                }
            case ForkPlan():
                first = len(self.queues)
                latencies = stage.latencies, stage.room_latencies
                self.queues += zip(sinks, stage.depths, *latencies, strict=True)
                return common | {
                    "kind": events.FORK,
                    "first_queue": first,
                    "branches": len(stage.depths),
                }

    def _engine(self, plan: WindowedEngine) -> dict[str, int]:
        fields = {
            "kind": events.ENGINE,
            "transfers_per_pixel": plan.input_cycles // plan.window.input_pixels,
            "input_pixels": plan.window.input_pixels,
            "output_pixels": plan.window.output_pixels,
            "capacity": plan.capacity,
            "passes": plan.passes,
            "pass_cycles": plan.pass_cycles,
            "latency": plan.latency + BUFFER_LATENCY,
            "arrive_latency": ARRIVE_LATENCY,
            "free_latency": plan.free_latency,
            "credit_latency": CREDIT_LATENCY,
            "credit_spare": plan.fifo_depth - plan.drain_cycles,
            "first_window": self.window_count,
            "first_pass": len(self.pass_transfers),
            "first_freed": self.freed_count,
        }
        self.windows.append(_windows(plan.window))
        self.pass_transfers += [plan.transfers_of_pass(number) for number in range(plan.passes)]
        self.window_count += plan.window.output_pixels
        self.freed_count += self.frames * plan.window.output_pixels
        return fields


@cache
def _windows(window: Window) -> NDArray[np.void]:
    """Pixels needed and freed by each window of a frame."""
    pairs = list(zip(window.needed(), window.freed(), strict=True))
    return np.array(pairs, dtype=records.WINDOW)


def _neighbours(graph: StageGraph, edges: Sequence[Edge]) -> Ints:
    """Stages and consumers that share a stream with each, filled up with -1."""
    names = [stage.name for stage in graph.stages]
    numbers = {name: number for number, name in enumerate(names)}
    neighbours: list[set[int]] = [set() for _ in range(len(names) + len(graph.outputs))]
    for edge in edges:
        if edge.source == INPUT:
            continue
        source = numbers[edge.source]
        target = len(names) + edge.port if edge.target is None else numbers[edge.target]
        neighbours[source].add(target)
        neighbours[target].add(source)
    most = max(map(len, neighbours))
    rows = [[*sorted(row), *[-1] * (most - len(row))] for row in neighbours]
    return np.array(rows, dtype=np.int64)


def _register_groups(plan: GearboxPlan | SelectPlan) -> Iterator[tuple[int, int]]:
    """Input and output transfers of each filling of the register, for one pixel."""
    if isinstance(plan, SelectPlan):
        yield from plan.groups
        return
    wide = max(plan.lanes_in, plan.lanes_out)
    for start in range(0, plan.channels, wide):
        channels = min(wide, plan.channels - start)
        yield ceil(channels / plan.lanes_in), ceil(channels / plan.lanes_out)


def _transfers(stages: Mapping[str, StagePlan], edge: Edge) -> int:
    """Transfers per frame of a stream: as many as its source offers, or its target takes."""
    if edge.source == INPUT:
        assert edge.target is not None, "what enters must be read"
        match stages[edge.target]:
            case ConvPlan() | PoolPlan() | BlockPlan() as plan:
                return plan.input_cycles
            case GearboxPlan() | SelectPlan() | ArgMaxPlan() as plan:
                return plan.pixels * plan.transfers_in
            case ConcatPlan() as plan:
                return plan.pixels * plan.turns[edge.port]
            case plan:
                return plan.cycles
    match stages[edge.source]:
        case ConvPlan() | PoolPlan() | BlockPlan() as plan:
            return plan.output_cycles
        case GearboxPlan() | SelectPlan() | ArgMaxPlan() as plan:
            return plan.pixels * plan.transfers_out
        case plan:
            return plan.cycles


def _most_queued(entered: Ints, room_from: Ints) -> int:
    """Most transfers that occupy room at once."""
    before = np.searchsorted(room_from, entered, side="right")
    return int((np.arange(1, len(entered) + 1) - before).max())
