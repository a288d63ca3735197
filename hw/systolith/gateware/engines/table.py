"""The engine of a table."""

from amaranth import Cat, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from systolith.gateware.activations import act_stream, act_word
from systolith.gateware.delay import delay, delay_payload
from systolith.gateware.engines.contents import TableContents
from systolith.gateware.parameters import ParameterMemory, connect_load_chain, load_ports
from systolith.gateware.streams.credit_fifo import CreditFifo
from systolith.network import Table
from systolith.plan import TablePlan

__all__ = ["TableEngine"]


class TableEngine(wiring.Component):
    """Look each activation up in a read-only memory, one for each lane.

    Golden model: :func:`systolith.network.apply_layer` of a Table, bit for bit.

    Members
    -------
    i : ``In(act_stream(plan.input.type, plan.lanes))``
    o : ``Out(act_stream(plan.output.type, plan.lanes))``
    load_i, load_o, full
        See :class:`ParameterMemory`; only if loadable. A load writes all lanes, one after the
        other.

    Timing
    ------
    Latency: ``plan.latency + 2`` cycles. Throughput: one transfer per cycle while there is room.
    No combinational path between `i` and `o`.
    """

    i: stream.Interface
    o: stream.Interface
    load_i: data.View
    load_o: data.View
    full: Signal

    def __init__(self, plan: TablePlan, layer: Table, *, loadable: bool = False) -> None:
        self.plan, self.loadable = plan, loadable
        self.contents = TableContents.of(plan, layer)
        members = {
            "i": In(act_stream(plan.input.type, plan.lanes)),
            "o": Out(act_stream(plan.output.type, plan.lanes)),
        }
        super().__init__(members | load_ports(loadable))

    def elaborate(self, platform: object) -> Module:
        """Registers: address, two of the memory; then the output buffer."""
        m = Module()
        plan = self.plan
        word = act_word(plan.output.type, plan.lanes)
        m.submodules.output = output = CreditFifo(word, depth=plan.fifo_depth)
        memories = [
            ParameterMemory(table, loadable=self.loadable, kind=plan.table_memory)
            for table in self.contents.chain()
        ]
        taken = self.i.valid & self.i.ready
        m.d.comb += [
            self.i.ready.eq(output.room),
            output.start.eq(taken),
            output.write.eq(delay(m, taken, plan.latency, "taken")),
            output.payload.eq(Cat(memory.word for memory in memories)),
        ]
        address_latency = plan.latency - ParameterMemory.LATENCY
        for lane, memory in enumerate(memories):
            m.submodules[f"table_{lane}"] = memory
            code = self.i.payload[lane].as_unsigned()
            address = delay_payload(m, code, address_latency, f"address_{lane}")
            m.d.comb += memory.address.eq(address)
        if self.loadable:
            connect_load_chain(m, self, memories)
        wiring.connect(m, output.o, wiring.flipped(self.o))
        return m
