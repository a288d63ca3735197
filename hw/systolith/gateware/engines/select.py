"""The engine of a selection of channels."""

from amaranth import C, Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from systolith.gateware.activations import act_stream
from systolith.gateware.counting import count_laps
from systolith.gateware.streams.double_buffer import DoubleBuffer
from systolith.plan import SelectPlan

__all__ = ["SelectEngine"]


class SelectEngine(wiring.Component):
    """Fill a :class:`DoubleBuffer` with neighbouring channels; empty it in the selected order.

    Golden model: :func:`systolith.network.apply_layer` of a SelectChannels, bit for bit.

    Members
    -------
    i : ``In(act_stream(plan.input.type, plan.lanes_in))``
    o : ``Out(act_stream(plan.output.type, plan.lanes_out))``

    Timing
    ------
    Latency: :attr:`LATENCY` cycle from the transfer that fills the register to ``o.valid``.
    Throughput: ``plan.groups`` counts the transfers of each filling, and a filling enters while the
    one before it leaves. No combinational path between `i` and `o`.
    """

    LATENCY = DoubleBuffer.LATENCY

    i: stream.Interface
    o: stream.Interface

    def __init__(self, plan: SelectPlan) -> None:
        self.plan = plan
        super().__init__(
            {
                "i": In(act_stream(plan.input.type, plan.lanes_in)),
                "o": Out(act_stream(plan.output.type, plan.lanes_out)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build the registers, and the counters of both sides."""
        m = Module()
        plan, bits = self.plan, self.plan.input.type.bits
        fills, blocks = plan.block // plan.lanes_in, len(plan.groups)
        m.submodules.buffer = buffer = DoubleBuffer(plan.lanes_in * bits, fills)
        wanted, given, last = Signal(), Signal(), Signal()
        part, last_part = count_laps(m, fills, buffer.write, "part")
        block, _ = count_laps(m, blocks, buffer.write & last_part, "block")
        transfer, _ = count_laps(m, plan.transfers_out, given, "transfer")
        m.d.comb += [
            self.i.ready.eq(buffer.ready),
            self.o.valid.eq(buffer.full),
            buffer.write.eq(self.i.valid & buffer.ready),
            buffer.part.eq(part),
            buffer.data.eq(self.i.payload),
            wanted.eq(
                C(
                    sum((count > 0) << n for n, (_, count) in enumerate(plan.groups)), blocks
                ).bit_select(block, 1)
            ),
            buffer.complete.eq(last_part & wanted),
            given.eq(buffer.full & self.o.ready),
            buffer.emptied.eq(given & last),
        ]
        ends = {sum(count for _, count in plan.groups[: n + 1]) - 1 for n in range(blocks)}
        with m.Switch(transfer):
            for number, places in enumerate(plan.sources):
                with m.Case(number):
                    lanes = [buffer.contents.word_select(place, bits) for place in places]
                    m.d.comb += [self.o.payload.eq(Cat(*lanes)), last.eq(number in ends)]
        return m
