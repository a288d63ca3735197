"""The engine of a convolution or linear layer."""

import numpy as np
from amaranth import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from systolith.gateware.collector import Collector
from systolith.gateware.credit_fifo import CreditFifo
from systolith.gateware.delay import delayed
from systolith.gateware.gather import GatherArray
from systolith.gateware.pe_array import PEArray
from systolith.gateware.requantizer import RequantizeLanes
from systolith.gateware.streams import act_stream, act_word
from systolith.gateware.window_buffer import RowReader, Sequencer, WindowWriter
from systolith.network import Conv2d, IntArray, Linear
from systolith.plan import ConvPlan, DepthwisePlan, GatherPlan, pack_weights, row_taps

__all__ = ["ConvEngine"]


class ConvEngine(wiring.Component):
    """Window buffer, PE array, accumulators, requantizers, output buffer.

    Golden model: :func:`systolith.network.apply_layer`, bit for bit.

    Members
    -------
    i : ``In(act_stream(plan.input.type, plan.lanes_in))``
    o : ``Out(act_stream(plan.output.type, plan.lanes_out))``

    Timing
    ------
    One output pixel in ``plan.steps`` cycles while input and room last; the first transfer
    of a pass comes ``plan.latency + 1`` cycles after its last step. No combinational path between
    `i` and `o`.
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(self, plan: ConvPlan, layer: Conv2d | Linear) -> None:
        self.plan, self.layer = plan, layer
        super().__init__(
            {
                "i": In(act_stream(plan.input.type, plan.lanes_in)),
                "o": Out(act_stream(plan.output.type, plan.lanes_out)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Join the parts in the order of the data flow."""
        m = Module()
        plan = self.plan
        m.submodules.writer = writer = WindowWriter(plan, plan.input.type)
        m.submodules.sequencer = sequencer = Sequencer(plan)
        m.submodules.collector = collector = Collector(plan)
        m.submodules.requantize = requantize = RequantizeLanes(
            plan.acc_bits,
            self._folded_bias(),
            self.layer.requantize,
            plan.output.type,
            plan.lanes_out,
        )
        word = act_word(plan.output.type, plan.lanes_out)
        m.submodules.output = output = CreditFifo(
            word, depth=plan.fifo_depth, most=plan.drain_cycles
        )
        wiring.connect(m, wiring.flipped(self.i), writer.i)
        m.d.comb += [
            sequencer.arrived.eq(writer.arrived),
            sequencer.room.eq(output.room),
            output.reserve.eq(sequencer.reserve),
        ]
        if isinstance(plan, GatherPlan):
            array, last_step = self._gather(m, plan, writer, sequencer)
        else:
            array, last_step = self._rows(m, writer, sequencer)
        m.d.comb += writer.done.eq(
            delayed(m, last_step.done, plan.free_latency - plan.array.rows - 1, "done")
        )
        for flag in ("first", "last"):
            arrives = delayed(
                m, getattr(last_step, flag), RowReader.LATENCY + plan.pe_latency, flag
            )
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
        return m

    def _gather(
        self, m: Module, plan: GatherPlan, writer: WindowWriter, sequencer: Sequencer
    ) -> tuple[GatherArray, data.View]:
        """Give each PE the whole window. Returns the array, and the last row's steps."""
        m.submodules.array = array = GatherArray(plan, pack_weights(plan, self.layer))
        m.d.comb += [
            array.write.en.eq(writer.write),
            array.write.address.eq(writer.address),
            array.write.word.eq(writer.i.payload),
        ]
        step = sequencer.step
        for row in range(plan.array.rows):
            m.d.comb += array.step[row].eq(step)
            if row < plan.array.rows - 1:
                step = delayed(m, step, 1, f"step{row + 1}")
        return array, step

    def _rows(
        self, m: Module, writer: WindowWriter, sequencer: Sequencer
    ) -> tuple[PEArray, data.View]:
        """Give each row its reader; steps move down a row per cycle. Returns as :meth:`_gather`."""
        m.submodules.array = array = PEArray(self.plan, pack_weights(self.plan, self.layer))
        plan = self.plan
        layout = act_word(plan.input.type, plan.group)
        per_transfer = plan.groups_per_transfer
        step = sequencer.step
        for row in range(plan.array.rows):
            reader = RowReader(
                plan,
                layout,
                row_taps(plan, row),
                fill=plan.input.type.zero_point,
                words=plan.passes if isinstance(plan, DepthwisePlan) else 1,
            )
            m.submodules[f"row_{row}"] = reader
            bank = row % plan.banks
            group = Signal(layout, name=f"group_{row}")
            m.d.comb += [
                group.eq(writer.i.payload.as_value().word_select(bank % per_transfer, layout.size)),
                reader.write.eq(writer.write[bank]),
                reader.address.eq(writer.address),
                reader.word.eq(group),
                reader.step.eq(step),
                array.acts[row].eq(reader.acts),
                array.address[row].eq(delayed(m, step.word, RowReader.LATENCY - 2, f"word{row}")),
            ]
            if row < plan.array.rows - 1:
                step = delayed(m, step, 1, f"step{row + 1}")
        return array, step

    def _folded_bias(self) -> IntArray:
        """Bias less what the zero point adds to the sum: padding is read as the zero point."""
        weight = self.layer.weight.reshape(len(self.layer.weight), -1)
        return np.asarray(self.layer.bias - self.plan.input.type.zero_point * weight.sum(axis=1))
