"""The engine of a product of two streams."""

from amaranth import Module, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from systolith.gateware.activations import act_stream, act_word
from systolith.gateware.delay import delay
from systolith.gateware.engines.contents import RequantizedContents
from systolith.gateware.parameters import connect_load_chain, load_ports
from systolith.gateware.primitives import multiply
from systolith.gateware.requantizing.requantizer import make_lanes
from systolith.gateware.streams.credit_fifo import CreditFifo
from systolith.network import Multiply
from systolith.plan import MULTIPLIER_LATENCY, MultiplyPlan

__all__ = ["MultiplyEngine"]


class MultiplyEngine(wiring.Component):
    """Multiply pairs of transfers and requantize the products.

    Golden model: :func:`systolith.network.apply_layer` of a Multiply, bit for bit.

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

    def __init__(self, plan: MultiplyPlan, layer: Multiply, *, loadable: bool = False) -> None:
        self.plan, self.loadable = plan, loadable
        self.contents = RequantizedContents.of(plan, layer, loadable=loadable)
        members = {
            "i_0": In(act_stream(plan.inputs[0].type, plan.lanes)),
            "i_1": In(act_stream(plan.inputs[1].type, plan.lanes)),
            "o": Out(act_stream(plan.output.type, plan.lanes)),
        }
        super().__init__(members | load_ports(loadable))

    def elaborate(self, platform: object) -> Module:
        """Products, requantizers, output buffer."""
        m = Module()
        plan, contents = self.plan, self.contents
        m.submodules.requantize = requantize = make_lanes(
            contents.requantizer, contents.parameters, loadable=self.loadable
        )
        if self.loadable:
            connect_load_chain(m, self, [requantize])
        word = act_word(plan.output.type, plan.lanes)
        m.submodules.output = output = CreditFifo(word, depth=plan.fifo_depth)
        take = Signal()
        m.d.comb += [
            take.eq(self.i_0.valid & self.i_1.valid & output.room),
            self.i_0.ready.eq(take),
            self.i_1.ready.eq(take),
            output.start.eq(take),
        ]
        for lane in range(plan.lanes):
            first, second = self._centred(0, lane), self._centred(1, lane)
            product = multiply(platform, m, f"multiplier_{lane}", first, second)
            m.d.comb += requantize.i[lane].eq(product)
        # The parameters of a transfer are read one cycle ahead of its products.
        ahead = delay(m, take, MULTIPLIER_LATENCY - 1, "ahead")
        transfer = Signal(range(plan.transfers_per_pixel))
        with m.If(ahead):
            m.d.sync += transfer.eq(transfer + 1)
            with m.If(transfer == plan.transfers_per_pixel - 1):
                m.d.sync += transfer.eq(0)
        m.d.comb += [
            requantize.valid.eq(delay(m, ahead, 1, "valid")),
            requantize.transfer.eq(transfer),
            output.payload.eq(requantize.o),
            output.write.eq(requantize.o_valid),
        ]
        wiring.connect(m, output.o, wiring.flipped(self.o))
        return m

    def _centred(self, number: int, lane: int) -> Value:
        """Subtract the zero point of input 0 or 1."""
        source = (self.i_0, self.i_1)[number]
        return source.payload[lane] - self.plan.inputs[number].type.zero_point
