"""Counters and watchdogs of frames in flight."""

from amaranth import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Activity", "FrameJoin", "Watchdog"]


class FrameJoin(wiring.Component):
    """Detect when a frame has left through all outputs.

    Parameters
    ----------
    outputs : int
    most_frames : int
        Most frames by which one output can be ahead of another.

    Members
    -------
    left : ``In(outputs)``
        For each output, a frame's last transfer leaves.
    done : ``Out(1)``
        The last transfer of a frame leaves the slowest output.

    Timing
    ------
    `done` depends combinationally on `left`. Reset forgets all frames.
    """

    left: Signal
    done: Signal

    def __init__(self, outputs: int, most_frames: int) -> None:
        self.outputs, self.most_frames = outputs, most_frames
        super().__init__({"left": In(outputs), "done": Out(1)})

    def elaborate(self, platform: object) -> Module:
        """Count the frames by which each output is ahead of the slowest."""
        m = Module()
        has_left = []
        for number in range(self.outputs):
            ahead = Signal(range(self.most_frames + 1), name=f"ahead_{number}")
            has_left.append(self.left[number] | (ahead != 0))
            m.d.sync += ahead.eq(ahead + self.left[number] - self.done)
        m.d.comb += self.done.eq(Cat(has_left).all())
        return m


class Activity(wiring.Component):
    """Count frames, cycles and stalls.

    Parameters
    ----------
    outputs : int
    most_frames : int
        Most frames in flight.

    Members
    -------
    begun, ended : ``In(1)``
        The first, the last transfer of a frame enters.
    waiting : ``In(1)``
        The pipeline waits for the producer in the middle of a frame.
    left : ``In(outputs)``
        A frame's last transfer leaves, by output.
    blocked : ``In(outputs)``
        For each output, a transfer is offered and not taken.
    limit : ``In(32)``
        Limit of the watchdogs, in cycles; 0 for none.
    cycles : ``Out(64)``
        Cycles since reset.
    frames_in, frames_out : ``Out(32)``
        Frames that have entered, and that have left through all outputs.
    latency : ``Out(32)``
        Cycles of the last measured frame from the first transfer in to the last transfer out,
        inclusive. One frame is measured at a time.
    interval : ``Out(32)``
        Cycles between the ends of the last two frames; 0 before the second frame.
    input_stalls, output_stalls : ``Out(32)``
        Cycles with `waiting`, and with any `blocked`.
    busy : ``Out(1)``
        Whether a frame is in flight.
    input_stalled, output_blocked : ``Out(1)``
        Whether the stall has lasted for `limit` cycles.

    Timing
    ------
    All outputs except `input_stalled` and `output_blocked` are registers. Counters wrap. Reset
    clears everything.
    """

    begun: Signal
    ended: Signal
    waiting: Signal
    left: Signal
    blocked: Signal
    limit: Signal
    cycles: Signal
    frames_in: Signal
    frames_out: Signal
    latency: Signal
    interval: Signal
    input_stalls: Signal
    output_stalls: Signal
    busy: Signal
    input_stalled: Signal
    output_blocked: Signal

    def __init__(self, outputs: int, most_frames: int) -> None:
        self.outputs, self.most_frames = outputs, most_frames
        super().__init__(
            {
                "begun": In(1),
                "ended": In(1),
                "waiting": In(1),
                "left": In(outputs),
                "blocked": In(outputs),
                "limit": In(32),
                "cycles": Out(64),
                "frames_in": Out(32),
                "frames_out": Out(32),
                "latency": Out(32),
                "interval": Out(32),
                "input_stalls": Out(32),
                "output_stalls": Out(32),
                "busy": Out(1),
                "input_stalled": Out(1),
                "output_blocked": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Count frames, stalls and cycles."""
        m = Module()
        m.submodules.join = join = FrameJoin(self.outputs, self.most_frames)
        in_flight = Signal(range(self.most_frames + 1))
        m.d.comb += [join.left.eq(self.left), self.busy.eq(in_flight != 0)]
        m.d.sync += [
            self.cycles.eq(self.cycles + 1),
            self.frames_in.eq(self.frames_in + self.ended),
            self.frames_out.eq(self.frames_out + join.done),
            self.input_stalls.eq(self.input_stalls + self.waiting),
            self.output_stalls.eq(self.output_stalls + self.blocked.any()),
            in_flight.eq(in_flight + self.begun - join.done),
        ]
        self._watch(m)
        self._measure_latency(m, in_flight, join.done)
        self._measure_interval(m, join.done)
        return m

    def _watch(self, m: Module) -> None:
        m.submodules.input_watchdog = watchdog = Watchdog()
        m.d.comb += [
            watchdog.condition.eq(self.waiting),
            watchdog.limit.eq(self.limit),
            self.input_stalled.eq(watchdog.expired),
        ]
        expired = Signal(self.outputs)
        for number in range(self.outputs):
            m.submodules[f"output_watchdog_{number}"] = watchdog = Watchdog()
            m.d.comb += [
                watchdog.condition.eq(self.blocked[number]),
                watchdog.limit.eq(self.limit),
                expired[number].eq(watchdog.expired),
            ]
        m.d.comb += self.output_blocked.eq(expired.any())

    def _measure_latency(self, m: Module, in_flight: Signal, done: Signal) -> None:
        """Count the cycles of a frame from its start until it and those before it have left."""
        measuring, elapsed, before = Signal(), Signal(32), Signal.like(in_flight)
        m.d.sync += elapsed.eq(elapsed + 1)
        with m.If(measuring & done):
            m.d.sync += before.eq(before - 1)
            with m.If(before == 0):
                m.d.sync += [measuring.eq(0), self.latency.eq(elapsed + 1)]
        with m.If(self.begun & ~measuring):
            m.d.sync += [measuring.eq(1), elapsed.eq(1), before.eq(in_flight - done)]

    def _measure_interval(self, m: Module, done: Signal) -> None:
        elapsed, second = Signal(32), Signal()
        m.d.sync += elapsed.eq(elapsed + 1)
        with m.If(done):
            m.d.sync += [elapsed.eq(1), second.eq(1)]
            with m.If(second):
                m.d.sync += self.interval.eq(elapsed)


class Watchdog(wiring.Component):
    """Detect when a condition has held for a number of cycles in a row.

    Members
    -------
    condition : ``In(1)``
    limit : ``In(32)``
        Number of cycles; 0 for no limit.
    expired : ``Out(1)``

    Timing
    ------
    `expired` is 1 from the cycle after the condition has held for `limit` cycles until the cycle
    after it ends.
    """

    condition: Signal
    limit: Signal
    expired: Signal

    def __init__(self) -> None:
        super().__init__({"condition": In(1), "limit": In(32), "expired": Out(1)})

    def elaborate(self, platform: object) -> Module:
        """Count up to the limit."""
        m = Module()
        count = Signal(32)
        m.d.comb += self.expired.eq((self.limit != 0) & (count >= self.limit))
        with m.If(~self.condition):
            m.d.sync += count.eq(0)
        with m.Elif(~self.expired):
            m.d.sync += count.eq(count + 1)
        return m
