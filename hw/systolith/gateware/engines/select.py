"""The engine of a selection of channels."""

from amaranth import C, Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from systolith.gateware.activations import act_stream
from systolith.plan import SelectPlan

__all__ = ["SelectEngine"]


class SelectEngine(wiring.Component):
    """Fill a register with neighbouring channels, then empty it in the selected order.

    Golden model: :func:`systolith.network.apply_layer` of a SelectChannels, bit for bit.

    Members
    -------
    i : ``In(act_stream(plan.input.type, plan.lanes_in))``
    o : ``Out(act_stream(plan.output.type, plan.lanes_out))``

    Timing
    ------
    Latency: :attr:`LATENCY` cycle from the transfer that fills the register to ``o.valid``.
    Throughput: ``plan.groups`` counts the transfers of each filling; the first of the next filling
    may be taken in the cycle of the last output. ``i.ready`` depends combinationally on
    ``o.ready``, as in :class:`Gearbox`.
    """

    LATENCY = 1

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
        """Build the register, and the counters of both sides."""
        m = Module()
        plan, bits = self.plan, self.plan.input.type.bits
        fills, blocks = plan.block // plan.lanes_in, len(plan.groups)
        register = Signal(plan.block * bits, reset_less=True)
        part, block = Signal(range(fills)), Signal(range(blocks))
        transfer = Signal(range(plan.transfers_out))
        full, taken, filled, wanted = Signal(), Signal(), Signal(), Signal()
        given, last, emptied = Signal(), Signal(), Signal()
        m.d.comb += [
            self.i.ready.eq(~full | emptied),
            taken.eq(self.i.valid & self.i.ready),
            filled.eq(taken & (part == fills - 1)),
            wanted.eq(
                C(
                    sum((count > 0) << n for n, (_, count) in enumerate(plan.groups)), blocks
                ).bit_select(block, 1)
            ),
            self.o.valid.eq(full),
            given.eq(full & self.o.ready),
            emptied.eq(given & last),
        ]
        with m.If(emptied):
            m.d.sync += full.eq(0)
        with m.If(filled & wanted):
            m.d.sync += full.eq(1)
        with m.If(taken):
            m.d.sync += [
                register.word_select(part, plan.lanes_in * bits).eq(self.i.payload),
                part.eq(part + 1),
            ]
        with m.If(filled):
            m.d.sync += [part.eq(0), block.eq(block + 1)]
            with m.If(block == blocks - 1):
                m.d.sync += block.eq(0)
        with m.If(given):
            m.d.sync += transfer.eq(transfer + 1)
            with m.If(transfer == plan.transfers_out - 1):
                m.d.sync += transfer.eq(0)
        ends = {sum(count for _, count in plan.groups[: n + 1]) - 1 for n in range(blocks)}
        with m.Switch(transfer):
            for number, places in enumerate(plan.sources):
                with m.Case(number):
                    lanes = [register.word_select(place, bits) for place in places]
                    m.d.comb += [self.o.payload.eq(Cat(*lanes)), last.eq(number in ends)]
        return m
