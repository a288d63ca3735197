"""The cycle model: when each transfer and each pass happens, exactly, without simulating gates.

The stages are built so that every action happens in the first cycle in which its conditions hold.
Then the time of each event is a maximum of earlier times plus constants. A pipeline is a system of
such equations, back-pressure included; :mod:`systolith.plan.cycles.events` evaluates it.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray

from systolith.network import INPUT
from systolith.plan.cycles import events
from systolith.plan.engines.add_plan import AddPlan
from systolith.plan.engines.conv_plan import ConvPlan
from systolith.plan.engines.latency import ARRIVE_LATENCY, CREDIT_LATENCY
from systolith.plan.engines.pool_plan import PoolPlan
from systolith.plan.engines.window import Window
from systolith.plan.streams.fork_plan import ForkPlan
from systolith.plan.streams.gearbox_plan import GearboxPlan
from systolith.plan.streams.stage_graph import Edge, StageGraph, StagePlan, WindowedEngine

__all__ = ["Timeline", "timeline"]

Ints = NDArray[np.int64]
Queue = tuple[Ints, Ints]
"""Cycles in which transfers enter, and from which on their room can be used again."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Timeline:
    """Cycles of a run whose producer always offers and whose consumer always takes.

    Cycle 0 is the first in which the producer offers data, with the design out of reset.

    Attributes
    ----------
    first_input, last_output : tuple of int
        For each frame, the cycle of its first input and of its last transfer at any output.
    queues : mapping of str to tuple of Queue
        For each fork, its queues.
    """

    first_input: tuple[int, ...]
    last_output: tuple[int, ...]
    queues: Mapping[str, tuple[Queue, ...]]

    @cached_property
    def most_queued(self) -> Mapping[str, tuple[int, ...]]:
        """For each fork, how many transfers each of its queues held at most."""
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
        """Cycles from the first input transfer to the very last output transfer, inclusive."""
        return self.last_output[-1] - self.first_input[0] + 1


def timeline(graph: StageGraph, frames: int) -> Timeline:
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
    numbers = {edge: number for number, edge in enumerate(edges)}
    into: dict[str, list[Edge]] = defaultdict(list)
    out_of: dict[str, list[Edge]] = defaultdict(list)
    for edge in edges:
        out_of[edge.source].append(edge)
        if edge.target is not None:
            into[edge.target].append(edge)
    stages = {stage.name: stage for stage in graph.stages}
    sizes = [frames * _transfers(stages, edge) for edge in edges]
    base = np.cumsum([0, *sizes])
    offered, taken = np.zeros(base[-1], dtype=np.int64), np.zeros(base[-1], dtype=np.int64)
    offers, takes = np.zeros(len(edges), dtype=np.int64), np.zeros(len(edges), dtype=np.int64)
    (entering,) = out_of[INPUT]
    offers[numbers[entering]] = sizes[numbers[entering]]
    rows, table = [], list[int]()
    for stage in graph.stages:
        sources = [numbers[edge] for edge in into[stage.name]]
        sinks = [numbers[edge] for edge in out_of[stage.name]]
        rows.append(_row(stage, sources, sinks, frames, table))
    leaving = [numbers[edge] for edge in edges if edge.target is None]
    rows += [_fields(kind=events.SINK, source=number) for number in leaving]
    events.evaluate(
        np.array(rows, dtype=np.int64),
        _neighbours(graph, edges),
        np.array(table, dtype=np.int64),
        base[:-1],
        offered,
        taken,
        offers,
        takes,
    )
    done, wanted = sum(takes[leaving].tolist()), sum(sizes[number] for number in leaving)
    if done != wanted:
        raise RuntimeError(f"the pipeline deadlocks after {done} of {wanted} outputs")

    def by_frame(number: int) -> Ints:
        return taken[base[number] : base[number + 1]].reshape(frames, -1)

    last = np.max([by_frame(number)[:, -1] for number in leaving], axis=0)
    return Timeline(
        first_input=tuple(by_frame(numbers[entering])[:, 0].tolist()),
        last_output=tuple(last.tolist()),
        queues={
            stage.name: tuple(
                (
                    offered[base[numbers[edge]] : base[numbers[edge] + 1]] - latency,
                    taken[base[numbers[edge]] : base[numbers[edge] + 1]] + room_latency,
                )
                for edge, latency, room_latency in zip(
                    out_of[stage.name], stage.latencies, stage.room_latencies, strict=True
                )
            )
            for stage in graph.stages
            if isinstance(stage, ForkPlan)
        },
    )


def _neighbours(graph: StageGraph, edges: Sequence[Edge]) -> Ints:
    """Stages and consumers that share a stream with each, filled up with -1."""
    names = [stage.name for stage in graph.stages]
    number = {name: index for index, name in enumerate(names)}
    found: list[set[int]] = [set() for _ in range(len(names) + len(graph.outputs))]
    for edge in edges:
        if edge.source == INPUT:
            continue
        source = number[edge.source]
        target = len(names) + edge.port if edge.target is None else number[edge.target]
        found[source].add(target)
        found[target].add(source)
    most = max(map(len, found))
    rows = [[*sorted(each), *[-1] * (most - len(each))] for each in found]
    return np.array(rows, dtype=np.int64)


def _row(
    stage: StagePlan, sources: list[int], sinks: list[int], frames: int, table: list[int]
) -> list[int]:
    """Describe a stage for :func:`events.evaluate`; its numbers join the table."""
    common = {"source": sources[0], "sink": sinks[0], "frames": frames, "table": len(table)}
    match stage:
        case ConvPlan() | PoolPlan():
            table += _engine_table(stage)
            return _fields(
                **common,
                kind=events.ENGINE,
                transfers_per_pixel=stage.input_cycles // stage.window.input_pixels,
                input_pixels=stage.window.input_pixels,
                output_pixels=stage.window.output_pixels,
                capacity=stage.capacity,
                passes=stage.passes,
                pass_cycles=stage.pass_cycles,
                latency=stage.latency,
                arrive_latency=ARRIVE_LATENCY,
                free_latency=stage.free_latency,
                credit_latency=CREDIT_LATENCY,
                credit_spare=stage.fifo_depth - stage.drain_cycles,
            )
        case GearboxPlan():
            groups = list(_gearbox_groups(stage))
            table += [number for group in groups for number in group]
            return _fields(
                **common, kind=events.GEARBOX, input_pixels=stage.pixels, passes=len(groups)
            )
        case AddPlan():
            return _fields(
                **common,
                kind=events.ADD,
                other=sources[1],
                latency=stage.latency,
                credit_latency=CREDIT_LATENCY,
                credit_spare=stage.fifo_depth - 1,
            )
        case ForkPlan():
            for queue in zip(
                sinks, stage.depths, stage.latencies, stage.room_latencies, strict=True
            ):
                table += queue
            return _fields(**common, kind=events.FORK, branches=len(stage.depths))


def _fields(**given: int) -> list[int]:
    return [given.get(name, 0) for name in events.PARAMETERS]


def _engine_table(plan: WindowedEngine) -> Iterator[int]:
    yield from _pixels(plan.window)
    for number in range(plan.passes):
        yield plan.transfers_of_pass(number)


@cache
def _pixels(window: Window) -> tuple[int, ...]:
    """Pixels needed by each window, then those freed by each."""
    return (*window.needed(), *window.freed())


def _gearbox_groups(plan: GearboxPlan) -> Iterator[tuple[int, int]]:
    """Input and output transfers of each filling of the register, for one pixel."""
    wide = max(plan.lanes_in, plan.lanes_out)
    for start in range(0, plan.channels, wide):
        channels = min(wide, plan.channels - start)
        yield -(-channels // plan.lanes_in), -(-channels // plan.lanes_out)


def _transfers(stages: Mapping[str, StagePlan], edge: Edge) -> int:
    """Transfers per frame of a stream: as many as its source gives, or its target takes."""
    if edge.source == INPUT:
        assert edge.target is not None, "what enters must be read"
        match stages[edge.target]:
            case ConvPlan() | PoolPlan() as plan:
                return plan.input_cycles
            case GearboxPlan() as plan:
                return plan.pixels * plan.transfers_in
            case plan:
                return plan.cycles
    match stages[edge.source]:
        case ConvPlan() | PoolPlan() as plan:
            return plan.output_cycles
        case GearboxPlan() as plan:
            return plan.pixels * plan.transfers_out
        case plan:
            return plan.cycles


def _most_queued(entered: Ints, room_from: Ints) -> int:
    """Most transfers that take room at once."""
    before = np.searchsorted(room_from, entered, side="right")
    return int((np.arange(1, len(entered) + 1) - before).max())
