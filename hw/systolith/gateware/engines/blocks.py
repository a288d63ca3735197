"""The engine that moves blocks of pixels to channels, or channels to blocks of pixels."""

from amaranth import C, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from systolith.gateware.activations import act_stream, act_word
from systolith.gateware.delay import delay
from systolith.gateware.primitives import RegisteredRam
from systolith.gateware.streams.credit_fifo import CreditFifo
from systolith.gateware.window.window_buffer import Sequencer, WindowWriter
from systolith.plan import BlockPlan

__all__ = ["BlockEngine"]


class BlockEngine(wiring.Component):
    """Line buffer that is read block by block, output buffer.

    Golden model: :func:`systolith.network.apply_layer` of a DepthToSpace or a SpaceToDepth, bit
    for bit.

    Members
    -------
    i : ``In(act_stream(plan.input.type, plan.lanes))``
    o : ``Out(act_stream(plan.output.type, plan.lanes))``

    Timing
    ------
    One transfer per cycle while input and room last. A transfer appears ``plan.latency + 2`` cycles
    after its step. No combinational path between `i` and `o`.
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(self, plan: BlockPlan) -> None:
        self.plan = plan
        super().__init__(
            {
                "i": In(act_stream(plan.input.type, plan.lanes)),
                "o": Out(act_stream(plan.output.type, plan.lanes)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Join the parts in the order of the data flow."""
        m = Module()
        plan, act = self.plan, self.plan.input.type
        word = act_word(act, plan.lanes)
        m.submodules.writer = writer = WindowWriter(plan, act)
        m.submodules.sequencer = sequencer = Sequencer(plan)
        m.submodules.memory = store = RegisteredRam(
            width=word.size, depth=plan.buffer_depth, kind=plan.window_memory
        )
        m.submodules.output = output = CreditFifo(word, depth=plan.fifo_depth)
        wiring.connect(m, wiring.flipped(self.i), writer.i)
        step, address = sequencer.step, Signal(range(plan.buffer_depth), reset_less=True)
        m.d.comb += [
            sequencer.arrives.eq(writer.arrives),
            sequencer.room.eq(output.room),
            output.start.eq(sequencer.start),
            writer.done.eq(delay(m, step.done, plan.free_latency - 3, "done")),
            store.write_enable.eq(writer.write),
            store.write_address.eq(writer.address),
            store.write_data.eq(writer.word),
            store.read_address.eq(address),
            output.write.eq(delay(m, step.last, 1 + RegisteredRam.LATENCY, "read")),
            output.payload.eq(store.read_data),
        ]
        row = self._count_rows(m, step.done) if plan.splits else self._row_of(step.number)
        m.d.sync += address.eq(step.address + step.number + row)
        wiring.connect(m, output.o, wiring.flipped(self.o))
        return m

    def _count_rows(self, m: Module, done: Signal) -> Signal:
        """Follow the output's rows: words of a pixel in front of the row of its block."""
        plan = self.plan
        column, row = Signal(range(plan.window.width)), Signal(range(plan.words_per_pixel))
        with m.If(done):
            m.d.sync += column.eq(column + 1)
            with m.If(column == plan.window.width - 1):
                last = row == plan.words_per_pixel - plan.row_distance
                m.d.sync += [column.eq(0), row.eq(Mux(last, 0, row + plan.row_distance))]
        return row

    def _row_of(self, number: Signal) -> Mux:
        """Select the words between the rows of a block, which the step's number does not count."""
        plan = self.plan
        between = plan.row_distance - plan.words_per_row
        skipped = C(between * (plan.rows - 1) % plan.buffer_depth, range(plan.buffer_depth))
        for row in reversed(range(plan.rows - 1)):
            words = C(between * row % plan.buffer_depth, range(plan.buffer_depth))
            skipped = Mux(number < (row + 1) * plan.words_per_row, words, skipped)
        return skipped
