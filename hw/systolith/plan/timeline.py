"""The cycle model: when each transfer and each pass happens, exactly, without simulating gates.

The engines are built so that every action happens in the first cycle in which its conditions hold.
Then the time of each event is a maximum of earlier times plus constants, and a pipeline of engines
is a system of such equations, back-pressure included. Here they are evaluated in dependency order.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from systolith.plan.conv_plan import ConvPlan
from systolith.plan.gearbox_plan import GearboxPlan
from systolith.plan.pool_plan import PoolPlan
from systolith.plan.stages import EnginePlan, StagePlan

__all__ = ["Timeline", "timeline"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """Cycles of a run whose producer always offers and whose consumer always takes.

    Cycle 0 is the first in which the producer offers data, with the design out of reset.

    Attributes
    ----------
    first_input, last_output : tuple of int
        For each frame, the cycle of its first input and of its last output transfer.
    """

    first_input: tuple[int, ...]
    last_output: tuple[int, ...]

    @property
    def latency(self) -> int:
        """Cycles from the first input transfer to the last output of the first frame, inclusive."""
        return self.last_output[0] - self.first_input[0] + 1

    @property
    def cycles(self) -> int:
        """Cycles from the first input transfer to the very last output transfer, inclusive."""
        return self.last_output[-1] - self.first_input[0] + 1


class _Edge:
    """A stream between two stages: when each transfer was offered, and when it was taken."""

    def __init__(self) -> None:
        self.offered: list[int] = []
        self.taken: list[int] = []


class _Stage(Protocol):
    def advance(self) -> bool:
        """Evaluate every event whose causes are known; whether there was any."""


class _Engine:
    """Passes wait for pixels and for room behind; pixels wait for room in the window buffer."""

    def __init__(self, plan: EnginePlan, frames: int, source: _Edge, sink: _Edge) -> None:
        self.source, self.sink = source, sink
        # Derived numbers are looked up once: there are millions of events.
        self.transfers_per_pixel = plan.input_cycles // plan.window.input_pixels
        self.capacity, self.passes = plan.capacity, plan.passes
        self.pass_cycles, self.latency = plan.pass_cycles, plan.latency
        self.free_latency = plan.free_latency
        self.credit_spare = plan.fifo_depth - plan.drain_cycles
        self.inputs = frames * plan.input_cycles
        self.needed = [*_over_frames(plan.window.needed(), plan, frames)]
        self.freed = [*_over_frames(plan.window.freed(), plan, frames)]
        self.freed_at: list[int] = []
        self.freeing = 0
        self.pixel, self.number = 0, 0
        self.free_at = 0
        self.reserved = 0
        self.transfers = [plan.transfers_of_pass(number) for number in range(plan.passes)]

    def advance(self) -> bool:
        accepted = self._accept()
        issued = self._issue()
        return accepted or issued

    def _accept(self) -> bool:
        """Take offered transfers while the buffer has room for their pixel."""
        offered, taken = self.source.offered, self.source.taken
        start = len(taken)
        last = taken[-1] if taken else -1
        for number in range(start, min(len(offered), self.inputs)):
            time = max(offered[number], last + 1)
            room = number // self.transfers_per_pixel - self.capacity + 1
            if room > 0:
                while self.freeing < len(self.freed_at) and self.freed[self.freeing] < room:
                    self.freeing += 1
                if self.freeing == len(self.freed_at):
                    break
                time = max(time, self.freed_at[self.freeing])
            taken.append(time)
            last = time
        return len(taken) > start

    def _issue(self) -> bool:
        """Issue passes whose pixels have arrived and whose results have room."""
        taken, left, offered = self.source.taken, self.sink.taken, self.sink.offered
        progress = False
        while self.pixel < len(self.needed):
            arrival = self.needed[self.pixel] * self.transfers_per_pixel - 1
            if arrival >= len(taken):
                break
            credit = self.reserved - self.credit_spare
            if credit > len(left):
                break
            time = max(self.free_at, taken[arrival] + 1)
            if credit > 0:
                time = max(time, left[credit - 1] + 1)
            last_step = time + self.pass_cycles - 1
            self.free_at = last_step + 1
            transfers = self.transfers[self.number]
            first = last_step + self.latency + 1
            offered.extend(range(first, first + transfers))
            self.reserved += transfers
            self.number += 1
            if self.number == self.passes:
                self.number = 0
                self.pixel += 1
                self.freed_at.append(last_step + self.free_latency)
            progress = True
        return progress


class _Gearbox:
    """One register: it is filled by the transfers of a group, then emptied by those of one."""

    def __init__(self, plan: GearboxPlan, frames: int, source: _Edge, sink: _Edge) -> None:
        self.source, self.sink = source, sink
        self.groups = list(_gearbox_groups(plan)) * (frames * plan.pixels)
        self.group = 0
        self.filled = 0

    def advance(self) -> bool:
        offered, taken, sink = self.source.offered, self.source.taken, self.sink
        start = len(taken)
        while self.group < len(self.groups):
            fill, empty = self.groups[self.group]
            if self.filled == fill:
                # Later transfers of the group are offered as soon as the earlier are taken.
                sink.offered.extend([taken[-1] + 1] * empty)
                self.group, self.filled = self.group + 1, 0
            elif len(taken) == len(offered) or len(sink.taken) < len(sink.offered):
                break
            else:
                time = max(offered[len(taken)], taken[-1] + 1 if taken else 0)
                if self.filled == 0 and sink.taken:
                    time = max(time, sink.taken[-1])
                taken.append(time)
                self.filled += 1
        return len(taken) > start


def _gearbox_groups(plan: GearboxPlan) -> Iterator[tuple[int, int]]:
    """Input and output transfers of each filling of the register, for one pixel."""
    wide = max(plan.lanes_in, plan.lanes_out)
    for start in range(0, plan.channels, wide):
        channels = min(wide, plan.channels - start)
        yield -(-channels // plan.lanes_in), -(-channels // plan.lanes_out)


class _Sink:
    """The consumer: takes whatever is offered, one transfer per cycle."""

    def __init__(self, source: _Edge) -> None:
        self.source = source

    def advance(self) -> bool:
        offered, taken = self.source.offered, self.source.taken
        start = len(taken)
        for time in offered[start:]:
            taken.append(max(time, taken[-1] + 1) if taken else time)
        return len(taken) > start


def timeline(stages: Sequence[StagePlan], frames: int) -> Timeline:
    """Evaluate the cycle model.

    Parameters
    ----------
    stages : sequence of StagePlan
        A pipeline, in the order of the data flow.
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
    edges = [_Edge() for _ in range(len(stages) + 1)]
    processes: list[_Stage] = [_Sink(edges[-1])]
    for plan, source, sink in zip(stages, edges, edges[1:], strict=False):
        match plan:
            case ConvPlan() | PoolPlan():
                processes.append(_Engine(plan, frames, source, sink))
            case GearboxPlan():
                processes.append(_Gearbox(plan, frames, source, sink))
    inputs = _input_transfers(stages[0])
    edges[0].offered = [0] * (frames * inputs)
    while any([process.advance() for process in processes]):
        pass
    outputs = _output_transfers(stages[-1])
    if len(edges[-1].taken) != frames * outputs:
        raise RuntimeError(
            f"the pipeline deadlocks after {len(edges[-1].taken)} of {frames * outputs} outputs"
        )
    return Timeline(
        first_input=tuple(edges[0].taken[::inputs]),
        last_output=tuple(edges[-1].taken[outputs - 1 :: outputs]),
    )


def _over_frames(pixels: Iterator[int], plan: EnginePlan, frames: int) -> Iterator[int]:
    one = list(pixels)
    for frame in range(frames):
        yield from (frame * plan.window.input_pixels + pixel for pixel in one)


def _input_transfers(plan: StagePlan) -> int:
    if isinstance(plan, GearboxPlan):
        return plan.pixels * plan.transfers_in
    return plan.input_cycles


def _output_transfers(plan: StagePlan) -> int:
    if isinstance(plan, GearboxPlan):
        return plan.pixels * plan.transfers_out
    return plan.output_cycles
