"""Change of the number of channels per transfer."""

from amaranth import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from systolith.gateware.activations import act_stream
from systolith.gateware.counting import count_laps
from systolith.gateware.streams.double_buffer import DoubleBuffer
from systolith.plan import GearboxPlan

__all__ = ["Gearbox"]


class Gearbox(wiring.Component):
    """Gather narrow transfers into wide ones, or split wide ones into narrow ones.

    A :class:`DoubleBuffer`, as wide as the wider side, is filled and emptied. A transfer never
    holds channels of two pixels; lanes beyond the last channel of a pixel have undefined values.

    Members
    -------
    i : ``In(act_stream(act, plan.lanes_in))``
    o : ``Out(act_stream(act, plan.lanes_out))``

    Timing
    ------
    Latency: :attr:`LATENCY` cycle from the transfer that fills the register to ``o.valid``.
    Throughput: one transfer per cycle on the narrow side. No combinational path between `i` and
    `o`. Reset empties it.
    """

    LATENCY = DoubleBuffer.LATENCY

    i: stream.Interface
    o: stream.Interface

    def __init__(self, plan: GearboxPlan) -> None:
        self.plan = plan
        act = plan.tensor.type
        super().__init__(
            {"i": In(act_stream(act, plan.lanes_in)), "o": Out(act_stream(act, plan.lanes_out))}
        )

    def elaborate(self, platform: object) -> Module:
        """Build the registers and the counters of the narrow side."""
        m = Module()
        plan = self.plan
        gathers = plan.lanes_in < plan.lanes_out
        narrow = min(plan.lanes_in, plan.lanes_out)
        parts = max(plan.lanes_in, plan.lanes_out) // narrow
        width = narrow * plan.tensor.type.bits
        m.submodules.buffer = buffer = (
            DoubleBuffer(width, parts) if gathers else DoubleBuffer(parts * width, 1)
        )
        last, step = Signal(), Signal()
        # The last narrow transfer of a pixel may not fill the register.
        transfers = max(plan.transfers_in, plan.transfers_out)
        _, last_of_pixel = count_laps(m, transfers, step, "position")
        part, last_part = count_laps(m, parts, step, "part", restart=last_of_pixel)
        m.d.comb += [
            last.eq(last_part | last_of_pixel),
            self.i.ready.eq(buffer.ready),
            self.o.valid.eq(buffer.full),
            buffer.write.eq(self.i.valid & buffer.ready),
            buffer.data.eq(self.i.payload),
        ]
        given = buffer.full & self.o.ready
        if gathers:
            m.d.comb += [
                step.eq(buffer.write),
                buffer.part.eq(part),
                buffer.complete.eq(last),
                buffer.emptied.eq(given),
                self.o.payload.eq(buffer.contents),
            ]
        else:
            m.d.comb += [
                step.eq(given),
                buffer.complete.eq(1),
                buffer.emptied.eq(given & last),
                self.o.payload.eq(buffer.contents.word_select(part, width)),
            ]
        return m
