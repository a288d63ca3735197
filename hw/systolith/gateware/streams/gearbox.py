"""Change of the number of channels per transfer."""

from amaranth import Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from systolith.gateware.activations import act_stream
from systolith.gateware.counting import count_laps
from systolith.gateware.streams.double_buffer import DoubleBuffer
from systolith.plan import GearboxPlan

__all__ = ["Gearbox"]


class Gearbox(wiring.Component):
    """Gather narrow transfers into wide ones, or split wide ones into narrow ones.

    Narrow transfers are gathered in a :class:`DoubleBuffer`. Wide ones are split in two shift
    registers in turn, with a :class:`DoubleBuffer` of the narrow width behind them. A transfer
    never holds channels of two pixels; lanes beyond the last channel of a pixel have undefined
    values.

    Members
    -------
    i : ``In(act_stream(act, plan.lanes_in))``
    o : ``Out(act_stream(act, plan.lanes_out))``

    Timing
    ------
    Latency: ``plan.latency`` cycles from the transfer that fills the register to ``o.valid``.
    Throughput: one transfer per cycle on the narrow side. No combinational path between `i` and
    `o`. Reset empties it.
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(self, plan: GearboxPlan) -> None:
        self.plan = plan
        act = plan.tensor.type
        super().__init__(
            {"i": In(act_stream(act, plan.lanes_in)), "o": Out(act_stream(act, plan.lanes_out))}
        )

    def elaborate(self, platform: object) -> Module:
        """Build the buffer of the outputs; count the narrow transfers of a pixel."""
        m = Module()
        plan, step = self.plan, Signal()
        width = min(plan.lanes_in, plan.lanes_out) * plan.tensor.type.bits
        # The last narrow transfer of a pixel may not fill a register.
        transfers = max(plan.transfers_in, plan.transfers_out)
        _, last_of_pixel = count_laps(m, transfers, step, "position")
        part, last_part = count_laps(m, plan.parts, step, "part", restart=last_of_pixel)
        last = last_part | last_of_pixel
        m.submodules.buffer = buffer = DoubleBuffer(width, 1 if plan.narrows else plan.parts)
        m.d.comb += [
            self.o.valid.eq(buffer.full),
            self.o.payload.eq(buffer.contents),
            buffer.emptied.eq(buffer.full & self.o.ready),
            buffer.write.eq(step),
        ]
        if plan.narrows:
            self._split(m, buffer, step, last)
        else:
            m.d.comb += [
                self.i.ready.eq(buffer.ready),
                step.eq(self.i.valid & buffer.ready),
                buffer.data.eq(self.i.payload),
                buffer.part.eq(part),
                buffer.complete.eq(last),
            ]
        return m

    def _split(self, m: Module, buffer: DoubleBuffer, step: Signal, last: Value) -> None:
        """Fill two shift registers in turn; move narrow transfers out of the older one."""
        width, size = buffer.part_bits, self.plan.parts * buffer.part_bits
        m.submodules.flags = flags = DoubleBuffer(0, 1)
        filling, emptying = Signal(), Signal()
        write, emptied = Signal(), Signal()
        m.d.comb += [
            self.i.ready.eq(flags.ready),
            write.eq(self.i.valid & flags.ready),
            flags.write.eq(write),
            flags.complete.eq(1),
            step.eq(flags.full & buffer.ready),
            emptied.eq(step & last),
            flags.emptied.eq(emptied),
            buffer.complete.eq(1),
        ]
        m.d.sync += [filling.eq(filling ^ write), emptying.eq(emptying ^ emptied)]
        registers = [Signal(size, name=f"shift_{n}", reset_less=True) for n in (0, 1)]
        for number, register in enumerate(registers):
            fills = Signal(name=f"fills_{number}")
            m.d.comb += fills.eq(write & (filling == number))
            with m.If(fills | (step & (emptying == number))):
                m.d.sync += register.eq(Mux(fills, self.i.payload, register >> width))
        m.d.comb += buffer.data.eq(Mux(emptying, registers[1], registers[0])[:width])
