"""The engine of a max pool."""

from amaranth import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from systolith.gateware.credit_fifo import CreditFifo
from systolith.gateware.delay import delayed
from systolith.gateware.streams import act_stream, act_word
from systolith.gateware.window_buffer import RowReader, Sequencer, WindowWriter
from systolith.plan import PoolPlan, Tap

__all__ = ["PoolEngine"]


class PoolEngine(wiring.Component):
    """Window buffer, a running maximum per lane, output buffer.

    Golden model: :func:`systolith.network.apply_layer` of a MaxPool2d, bit for bit.

    Members
    -------
    i, o : ``In(act_stream(act, plan.lanes))``, ``Out(act_stream(act, plan.lanes))``

    Timing
    ------
    One tap of `lanes` channels per cycle while input and room last; a transfer comes
    ``plan.latency + 1`` cycles after the last tap. No combinational path between `i` and `o`.
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(self, plan: PoolPlan) -> None:
        self.plan = plan
        acts = act_stream(plan.output.type, plan.lanes)
        super().__init__({"i": In(acts), "o": Out(acts)})

    def elaborate(self, platform: object) -> Module:
        """Join the parts in the order of the data flow."""
        m = Module()
        plan = self.plan
        act = plan.output.type
        word = act_word(act, plan.lanes)
        taps = [Tap(row, column, 0) for row, column in plan.window.positions]
        m.submodules.writer = writer = WindowWriter(plan, act)
        m.submodules.sequencer = sequencer = Sequencer(plan)
        m.submodules.reader = reader = RowReader(plan, word, taps, fill=act.low, words=plan.passes)
        m.submodules.output = output = CreditFifo(word, depth=plan.fifo_depth, most=1)
        wiring.connect(m, wiring.flipped(self.i), writer.i)
        m.d.comb += [
            sequencer.arrived.eq(writer.arrived),
            sequencer.room.eq(output.room),
            output.reserve.eq(sequencer.reserve),
            reader.write.eq(writer.write),
            reader.address.eq(writer.address),
            reader.word.eq(writer.i.payload),
            reader.step.eq(sequencer.step),
            writer.done.eq(delayed(m, sequencer.step.done, 2, "done")),
        ]
        first = delayed(m, sequencer.step.first, RowReader.LATENCY, "first")
        last = delayed(m, sequencer.step.last, RowReader.LATENCY, "last")
        greatest = Signal(word)
        for lane in range(plan.lanes):
            new, old = reader.acts[lane], greatest[lane]
            m.d.sync += greatest[lane].eq(Mux(first | (new > old), new, old))
        m.d.comb += [
            output.write.eq(delayed(m, last, 1, "written")),
            output.payload.eq(greatest),
        ]
        wiring.connect(m, output.o, wiring.flipped(self.o))
        return m
