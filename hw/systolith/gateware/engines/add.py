"""The engine of a residual addition."""

from amaranth import Module, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from systolith.gateware.activations import act_stream, act_word
from systolith.gateware.delay import delay
from systolith.gateware.engines.contents import MULTIPLIER_PAIR, AddContents
from systolith.gateware.engines.requantizer import RequantizeLanes
from systolith.gateware.parameters import ParameterMemory, connect_load_chain, load_ports
from systolith.gateware.primitives import multiply
from systolith.gateware.streams.credit_fifo import CreditFifo
from systolith.network import Add
from systolith.plan import MULTIPLIER_LATENCY, AddPlan

__all__ = ["AddEngine"]


class AddEngine(wiring.Component):
    """Scale pairs of transfers to a common unit, add and requantize them.

    Golden model: :func:`systolith.network.apply_layer` of an Add, bit for bit.

    Members
    -------
    i : two streams, ``In(act_stream(plan.inputs[n].type, plan.lanes))``, as ``i_0`` and ``i_1``
    o : ``Out(act_stream(plan.output.type, plan.lanes))``
    load_i, load_o, full
        See :class:`ParameterMemory`; only if loadable.

    Timing
    ------
    Latency: ``plan.latency + 1`` cycles. Throughput: one pair per cycle while there is room. Each
    input is ready only in cycles in which the other is valid. No combinational path to or from `o`.
    """

    i_0: stream.Interface
    i_1: stream.Interface
    o: stream.Interface
    load_i: data.View
    load_o: data.View
    full: Signal

    def __init__(self, plan: AddPlan, layer: Add, *, loadable: bool = False) -> None:
        self.plan, self.layer, self.loadable = plan, layer, loadable
        self.contents = AddContents.of(plan, layer, loadable=loadable)
        members = {
            "i_0": In(act_stream(plan.inputs[0].type, plan.lanes)),
            "i_1": In(act_stream(plan.inputs[1].type, plan.lanes)),
            "o": Out(act_stream(plan.output.type, plan.lanes)),
        }
        super().__init__(members | load_ports(loadable))

    def elaborate(self, platform: object) -> Module:
        """Products, sum, requantizers, output buffer."""
        m = Module()
        plan, contents = self.plan, self.contents
        m.submodules.requantize = requantize = RequantizeLanes(
            contents.requantizer, contents.parameters, loadable=self.loadable
        )
        multipliers = self.layer.multipliers
        if self.loadable:
            m.submodules.multipliers = table = ParameterMemory(contents.multipliers, loadable=True)
            multipliers = data.View(MULTIPLIER_PAIR, table.word)
            connect_load_chain(m, self, [table, requantize])
        word = act_word(plan.output.type, plan.lanes)
        m.submodules.output = output = CreditFifo(word, depth=plan.fifo_depth)
        take = Signal()
        m.d.comb += [
            take.eq(self.i_0.valid & self.i_1.valid & output.room),
            self.i_0.ready.eq(take),
            self.i_1.ready.eq(take),
            output.start.eq(take),
        ]
        sums = Signal(data.ArrayLayout(signed(plan.sum_bits), plan.lanes))
        for lane in range(plan.lanes):
            products = [
                multiply(
                    platform,
                    m,
                    f"multiplier_{number}_{lane}",
                    self._subtract_zero_point(number, lane),
                    Value.cast(multiplier),
                )
                for number, multiplier in enumerate(multipliers)
            ]
            m.d.sync += sums[lane].eq(products[0] + products[1])
        transfer = Signal(range(plan.transfers_per_pixel))
        taken = delay(m, take, MULTIPLIER_LATENCY, "taken")
        with m.If(taken):
            m.d.sync += transfer.eq(transfer + 1)
            with m.If(transfer == plan.transfers_per_pixel - 1):
                m.d.sync += transfer.eq(0)
        m.d.comb += [
            requantize.i.eq(sums),
            requantize.valid.eq(delay(m, taken, 1, "valid")),
            requantize.transfer.eq(transfer),
            output.payload.eq(requantize.o),
            output.write.eq(requantize.o_valid),
        ]
        wiring.connect(m, output.o, wiring.flipped(self.o))
        return m

    def _subtract_zero_point(self, number: int, lane: int) -> Value:
        source = (self.i_0, self.i_1)[number]
        return source.payload[lane] - self.plan.inputs[number].type.zero_point
