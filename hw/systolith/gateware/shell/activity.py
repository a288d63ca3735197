"""What a host may want to know about frames on their way."""

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.gateware.shell.watchdog import Watchdog

__all__ = ["Activity", "FrameJoin"]


class FrameJoin(wiring.Component):
    """See when a frame has left by all outputs.

    Parameters
    ----------
    outputs : int
    most_frames : int
        Between the first output that a frame has left by and the last.

    Members
    -------
    left : ``In(outputs)``
        A frame's last transfer leaves, by output.
    done : ``Out(1)``
        The slowest output's does.

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
        """Count by how many frames each output is ahead of the slowest."""
        m = Module()
        some = []
        for number in range(self.outputs):
            ahead = Signal(range(self.most_frames + 1), name=f"ahead_{number}")
            some.append(self.left[number] | (ahead != 0))
            m.d.sync += ahead.eq(ahead + self.left[number] - self.done)
        everywhere = some[0]
        for one in some[1:]:
            everywhere = everywhere & one
        m.d.comb += self.done.eq(everywhere)
        return m


class Activity(wiring.Component):
    """Count frames, cycles and stalls.

    Parameters
    ----------
    outputs : int
    most_frames : int
        That have begun and not yet left.

    Members
    -------
    begun, ended : ``In(1)``
        A frame's first, last transfer enters.
    waiting : ``In(1)``
        In the middle of a frame, all wait for the producer.
    left : ``In(outputs)``
        A frame's last transfer leaves, by output.
    blocked : ``In(outputs)``
        A transfer is offered and not taken, by output.
    limit : ``In(32)``
        Of the watchdogs, in cycles; 0 for none.
    cycles : ``Out(64)``
        Since reset.
    frames_in, frames_out : ``Out(32)``
        That have entered, that have left by all outputs.
    latency : ``Out(32)``
        Cycles from the first transfer in to the last transfer out, inclusive, of the last frame
        that was measured; one is measured at a time.
    interval : ``Out(32)``
        Cycles between the ends of the last two frames that have left; 0 before the second.
    input_stalls, output_stalls : ``Out(32)``
        Cycles with `waiting`, with any `blocked`.
    busy : ``Out(1)``
        Whether a frame has begun and not yet left.
    input_stalled, output_blocked : ``Out(1)``
        Whether that lasts for `limit` cycles.

    Timing
    ------
    All outputs are registers, but `input_stalled` and `output_blocked`. Counters wrap round. Reset
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
        """Count."""
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
        """Time a frame, from when it begins until it and those before it have left."""
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
