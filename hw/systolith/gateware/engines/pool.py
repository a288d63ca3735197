"""The engine of a pool, of padding, and of upsampling."""

from amaranth import Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from systolith.gateware.activations import act_stream, act_word
from systolith.gateware.delay import delay
from systolith.gateware.engines.area_factors import AreaFactors
from systolith.gateware.engines.contents import RequantizedContents
from systolith.gateware.parameters import connect_load_chain, load_ports
from systolith.gateware.requantizing.requantizer import make_lanes
from systolith.gateware.streams.credit_fifo import CreditFifo
from systolith.gateware.window.row_reader import RowReader, tap_table
from systolith.gateware.window.window_buffer import Sequencer, WindowWriter
from systolith.network import AvgPool2d, MaxPool2d, Pad2d, Upsample
from systolith.plan import POOL_LATENCY, PoolPlan, Tap

__all__ = ["PoolEngine"]


class PoolEngine(wiring.Component):
    """Window buffer, running maximum or sum per lane, output buffer.

    Padding and upsampling are maxima over windows of one pixel.

    Golden model: :func:`systolith.network.apply_layer` of a pool, bit for bit.

    Members
    -------
    i : ``In(act_stream(plan.input.type, plan.lanes))``
    o : ``Out(act_stream(plan.output.type, plan.lanes))``
    load_i, load_o, full
        See :class:`ParameterMemory`; only if loadable and an average.

    Timing
    ------
    One tap of `lanes` channels per cycle while input and room last. A transfer appears
    ``plan.latency + 2`` cycles after the last tap. No combinational path between `i` and `o`.
    """

    i: stream.Interface
    o: stream.Interface
    load_i: data.View
    load_o: data.View
    full: Signal

    def __init__(
        self,
        plan: PoolPlan,
        layer: MaxPool2d | AvgPool2d | Pad2d | Upsample,
        *,
        loadable: bool = False,
    ) -> None:
        self.plan = plan
        self.loadable = loadable and plan.average
        self.contents: RequantizedContents | None = None
        if isinstance(layer, AvgPool2d):
            self.contents = RequantizedContents.of(plan, layer, loadable=loadable)
        members = {
            "i": In(act_stream(plan.input.type, plan.lanes)),
            "o": Out(act_stream(plan.output.type, plan.lanes)),
        }
        super().__init__(members | load_ports(self.loadable))

    def elaborate(self, platform: object) -> Module:
        """Join the parts in the order of the data flow."""
        m = Module()
        plan = self.plan
        act = plan.input.type
        word = act_word(act, plan.lanes)
        taps = [Tap(row, column, 0) for row, column in plan.window.positions]
        m.submodules.writer = writer = WindowWriter(plan, act)
        m.submodules.sequencer = sequencer = Sequencer(plan)
        m.submodules.reader = reader = RowReader(
            plan, word, tap_table(plan, taps), fill=plan.fill, words=plan.passes
        )
        m.submodules.output = output = CreditFifo(
            act_word(plan.output.type, plan.lanes), depth=plan.fifo_depth
        )
        wiring.connect(m, wiring.flipped(self.i), writer.i)
        m.d.comb += [
            sequencer.arrives.eq(writer.arrives),
            sequencer.room.eq(output.room),
            output.start.eq(sequencer.start),
            reader.write.eq(writer.write),
            reader.address.eq(writer.address),
            reader.word.eq(writer.word),
            reader.step.eq(sequencer.step),
            writer.done.eq(delay(m, sequencer.step.done, plan.free_latency - 3, "done")),
        ]
        first = delay(m, sequencer.step.first, RowReader.LATENCY, "first")
        last = delay(m, sequencer.step.last, RowReader.LATENCY, "last")
        number = delay(m, sequencer.step.number, RowReader.LATENCY, "number")
        done = delay(m, last, 1, "found")
        if self.contents is not None:
            position = sequencer.step.rows, sequencer.step.columns
            self._average(m, self.contents, reader.acts, first, done, number, position, output)
        else:
            greatest = Signal(word)
            for lane in range(plan.lanes):
                new, old = reader.acts[lane], greatest[lane]
                m.d.sync += greatest[lane].eq(Mux(first | (new > old), new, old))
            m.d.comb += [output.write.eq(done), output.payload.eq(greatest)]
        wiring.connect(m, output.o, wiring.flipped(self.o))
        return m

    def _average(
        self,
        m: Module,
        contents: RequantizedContents,
        acts: data.View,
        first: Signal,
        done: Signal,
        number: Signal,
        position: tuple[Signal, Signal],
        output: CreditFifo,
    ) -> None:
        """Sum up differences from the zero point; the requantizer divides."""
        plan = self.plan
        zero_point = plan.input.type.zero_point
        m.submodules.requantize = requantize = make_lanes(
            contents.requantizer, contents.parameters, loadable=self.loadable
        )
        sums = Signal(data.ArrayLayout(signed(plan.window_bits), plan.lanes))
        for lane in range(plan.lanes):
            m.d.sync += sums[lane].eq(Mux(first, 0, sums[lane]) + (acts[lane] - zero_point))
        if plan.weighs:
            m.submodules.factors = factors = AreaFactors(
                plan, lead=RowReader.LATENCY + POOL_LATENCY
            )
            m.d.comb += [
                factors.i.eq(sums),
                factors.rows.eq(position[0]),
                factors.columns.eq(position[1]),
            ]
            sums = factors.o
            done = delay(m, done, AreaFactors.LATENCY, "weighed")
            number = delay(m, number, AreaFactors.LATENCY, "weighed_number")
        m.d.comb += [
            requantize.i.eq(sums),
            requantize.valid.eq(done),
            requantize.transfer.eq(number),
            output.write.eq(requantize.o_valid),
            output.payload.eq(requantize.o),
        ]
        if self.loadable:
            connect_load_chain(m, self, [requantize])
