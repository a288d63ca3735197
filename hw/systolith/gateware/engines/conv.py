"""The engine of a convolution or linear layer."""

from amaranth import Cat, Module, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from systolith.gateware.activations import act_stream, act_word
from systolith.gateware.array.collector import Collector
from systolith.gateware.array.gather import GatherArray
from systolith.gateware.array.pe_array import WEIGHT_LATENCY, PEArray
from systolith.gateware.delay import delay, delay_payload
from systolith.gateware.engines.contents import ConvContents
from systolith.gateware.parameters import connect_load_chain, load_ports
from systolith.gateware.requantizing.requantizer import make_lanes
from systolith.gateware.streams.credit_fifo import CreditFifo
from systolith.gateware.window.row_reader import RowReader
from systolith.gateware.window.window_buffer import Sequencer, WindowWriter
from systolith.network import Conv2d, Linear
from systolith.plan import ConvPlan, Feed

__all__ = ["ConvEngine"]


class ConvEngine(wiring.Component):
    """Window buffer, PE array, accumulators, requantizers, output buffer.

    Golden model: :func:`systolith.network.apply_layer`, bit for bit.

    Members
    -------
    i : ``In(act_stream(plan.input.type, plan.lanes_in))``
    o : ``Out(act_stream(plan.output.type, plan.lanes_out))``
    load_i, load_o, full
        See :class:`ParameterMemory`; only if loadable.

    Timing
    ------
    One output pixel in ``plan.steps`` cycles while input and room last. The first transfer of a
    pass appears ``plan.latency + 2`` cycles after its last step. No combinational path between `i`
    and `o`.
    """

    i: stream.Interface
    o: stream.Interface
    load_i: data.View
    load_o: data.View
    full: Signal

    def __init__(self, plan: ConvPlan, layer: Conv2d | Linear, *, loadable: bool = False) -> None:
        self.plan, self.loadable = plan, loadable
        self.contents = ConvContents.of(plan, layer, loadable=loadable)
        members = {
            "i": In(act_stream(plan.input.type, plan.lanes_in)),
            "o": Out(act_stream(plan.output.type, plan.lanes_out)),
        }
        super().__init__(members | load_ports(loadable))

    def elaborate(self, platform: object) -> Module:
        """Join the parts in the order of the data flow."""
        m = Module()
        plan = self.plan
        m.submodules.writer = writer = WindowWriter(plan, plan.stored)
        m.submodules.sequencer = sequencer = Sequencer(plan)
        m.submodules.collector = collector = Collector(plan)
        m.submodules.requantize = requantize = make_lanes(
            self.contents.requantizer, self.contents.parameters, loadable=self.loadable
        )
        word = act_word(plan.output.type, plan.lanes_out)
        m.submodules.output = output = CreditFifo(
            word,
            depth=plan.fifo_depth,
            passes=[plan.transfers_of_pass(number) for number in range(plan.passes)],
        )
        self._connect_input(m, writer)
        m.d.comb += [
            sequencer.arrives.eq(writer.arrives),
            sequencer.room.eq(output.room),
            output.start.eq(sequencer.start),
        ]
        feed = self._gather if plan.feed is Feed.GATHERED else self._read_rows
        array, last_step, loadable_readers = feed(m, writer, sequencer)
        m.d.comb += writer.done.eq(
            delay(m, last_step.done, plan.free_latency - plan.array.rows - 2, "done")
        )
        for flag in ("first", "last"):
            arrives = delay(m, getattr(last_step, flag), RowReader.LATENCY + plan.pe_latency, flag)
            m.d.comb += getattr(collector, flag).eq(arrives)
        for number in range(plan.width):
            column, packed = divmod(number, plan.packed)
            m.d.comb += collector.psums[number].eq(array.psums[column][packed])
        m.d.comb += [
            requantize.i.eq(collector.o),
            requantize.valid.eq(collector.o_valid),
            requantize.transfer.eq(collector.transfer),
            output.payload.eq(requantize.o),
            output.write.eq(requantize.o_valid),
        ]
        wiring.connect(m, output.o, wiring.flipped(self.o))
        if self.loadable:
            connect_load_chain(m, self, [*loadable_readers, array, requantize])
        return m

    def _connect_input(self, m: Module, writer: WindowWriter) -> None:
        """Write activations, or the one bit that tells -1 from +1."""
        if self.plan.stored == self.plan.input.type:
            wiring.connect(m, wiring.flipped(self.i), writer.i)
            return
        m.d.comb += [writer.i.valid.eq(self.i.valid), self.i.ready.eq(writer.i.ready)]
        for lane in range(self.plan.lanes_in):
            m.d.comb += writer.i.payload[lane].eq(~self.i.payload[lane][-1])

    def _gather(
        self, m: Module, writer: WindowWriter, sequencer: Sequencer
    ) -> tuple[GatherArray, data.View, list[RowReader]]:
        """Give each PE the whole window.

        Returns the array, the last row's steps, and no readers.
        """
        plan = self.plan
        m.submodules.array = array = GatherArray(
            plan, self.contents.weights, loadable=self.loadable
        )
        m.d.comb += [
            array.write.en.eq(writer.write),
            array.write.address.eq(writer.address),
            array.write.word.eq(writer.word),
        ]
        step = sequencer.step
        for row in range(plan.array.rows):
            m.d.comb += array.step[row].eq(step)
            if row < plan.array.rows - 1:
                step = delay(m, step, 1, f"step{row + 1}")
        return array, step, []

    def _read_rows(
        self, m: Module, writer: WindowWriter, sequencer: Sequencer
    ) -> tuple[PEArray, data.View, list[RowReader]]:
        """Give each row a reader, or several rows one; steps move down one row per cycle.

        Returns the array, the last row's steps, and the readers whose taps can be loaded.
        """
        plan, shared = self.plan, self.plan.rows_per_reader
        m.submodules.array = array = PEArray(plan, self.contents.weights, loadable=self.loadable)
        banks, step = self._join_banks(m, writer), sequencer.step
        readers: list[RowReader] = []
        for row in range(plan.array.rows):
            number, place = divmod(row, shared)
            if place == 0:
                reader = RowReader(
                    plan,
                    act_word(plan.stored, shared * plan.group),
                    self.contents.taps[number],
                    fill=plan.stored.zero_point,
                    words=plan.passes if plan.reads_word_of_pass else 1,
                    loadable=self.loadable and plan.skips_taps,
                )
                readers.append(reader)
                m.submodules[f"row_{row}"] = reader
                word, write = banks[number % len(banks)]
                m.d.comb += [
                    reader.write.eq(write),
                    reader.address.eq(writer.address),
                    reader.word.eq(word),
                    reader.step.eq(step),
                ]
            acts = reader.acts.as_value().word_select(place, len(array.acts[row].as_value()))
            m.d.comb += array.acts[row].eq(delay_payload(m, acts, place, f"acts_{row}"))
            if plan.marks:
                marks = delay_payload(m, reader.marks, place, f"marks_{row}")
                m.d.comb += array.marks[row].eq(marks)
            if row in plan.tile_rows:
                address = delay(m, step.word, RowReader.LATENCY - WEIGHT_LATENCY, f"word{row}")
                m.d.comb += array.address[plan.tile_rows.index(row)].eq(address)
            if row < plan.array.rows - 1:
                step = delay(m, step, 1, f"step{row + 1}")
        return array, step, readers if plan.skips_taps else []

    def _join_banks(self, m: Module, writer: WindowWriter) -> list[tuple[Signal, Value]]:
        """Join the banks of the rows of a reader. Returns the words, and when to write each."""
        plan, width = self.plan, self.plan.groups_per_transfer
        transfers, taken = [writer.word.as_value()], writer.write.any()
        for number in range(plan.kept_transfers):
            kept = Signal(transfers[0].shape(), name=f"kept_{number}", reset_less=True)
            with m.If(taken):
                m.d.sync += kept.eq(transfers[-1])
            transfers.append(kept)
        words: list[tuple[Signal, Value]] = []
        for first in range(0, plan.banks, plan.rows_per_reader):
            last = first + plan.rows_per_reader - 1
            groups = [
                transfers[last // width - bank // width].word_select(
                    bank % width, plan.group * plan.stored.bits
                )
                for bank in range(first, last + 1)
            ]
            word = Signal(sum(map(len, groups)), name=f"group_{first}")
            m.d.comb += word.eq(Cat(groups))
            words.append((word, writer.write[last]))
        return words
