"""Common part of engines that compute one result of two streams."""

from abc import abstractmethod
from collections.abc import Iterable, Sequence

from amaranth import Module, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from systolith.gateware.activations import act_stream, act_word
from systolith.gateware.delay import delay
from systolith.gateware.engines.contents import AddContents, RequantizedContents
from systolith.gateware.parameters import ParameterMemory, connect_load_chain, load_ports
from systolith.gateware.requantizing.requantizer import make_lanes
from systolith.gateware.streams.credit_fifo import CreditFifo
from systolith.plan import AddPlan, MultiplyPlan

__all__ = ["PairEngine"]


class PairEngine(wiring.Component):
    """Take pairs of transfers, compute one value for each lane, and requantize it.

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

    def __init__(
        self,
        plan: AddPlan | MultiplyPlan,
        contents: AddContents | RequantizedContents,
        *,
        loadable: bool,
    ) -> None:
        self.pair, self.ends, self.loadable = plan, contents, loadable
        members = {
            "i_0": In(act_stream(plan.inputs[0].type, plan.lanes)),
            "i_1": In(act_stream(plan.inputs[1].type, plan.lanes)),
            "o": Out(act_stream(plan.output.type, plan.lanes)),
        }
        super().__init__(members | load_ports(loadable))

    @abstractmethod
    def combine(
        self, platform: object, m: Module
    ) -> tuple[Iterable[Value], Sequence[ParameterMemory]]:
        """Compute a value of each pair of lanes, ``plan.operand_latency`` cycles after its inputs.

        Returns
        -------
        iterable of Value, one for each lane
        sequence of ParameterMemory
            Memories that a load fills before those of the requantizers.
        """

    def elaborate(self, platform: object) -> Module:
        """Values of pairs, requantizers, output buffer."""
        m = Module()
        plan, ends = self.pair, self.ends
        m.submodules.requantize = requantize = make_lanes(
            ends.requantizer, ends.parameters, loadable=self.loadable
        )
        word = act_word(plan.output.type, plan.lanes)
        m.submodules.output = output = CreditFifo(word, depth=plan.fifo_depth)
        values, memories = self.combine(platform, m)
        if self.loadable:
            connect_load_chain(m, self, [*memories, requantize])
        take = Signal()
        m.d.comb += [
            take.eq(self.i_0.valid & self.i_1.valid & output.room),
            self.i_0.ready.eq(take),
            self.i_1.ready.eq(take),
            output.start.eq(take),
        ]
        m.d.comb += [requantize.i[lane].eq(value) for lane, value in enumerate(values)]
        # The parameters of a transfer are read one cycle ahead of its values.
        taken = delay(m, take, plan.operand_latency - 1, "taken")
        transfer = Signal(range(plan.transfers_per_pixel))
        with m.If(taken):
            m.d.sync += transfer.eq(transfer + 1)
            with m.If(transfer == plan.transfers_per_pixel - 1):
                m.d.sync += transfer.eq(0)
        m.d.comb += [
            requantize.valid.eq(delay(m, taken, 1, "valid")),
            requantize.transfer.eq(transfer),
            output.payload.eq(requantize.o),
            output.write.eq(requantize.o_valid),
        ]
        wiring.connect(m, output.o, wiring.flipped(self.o))
        return m

    def centred(self, number: int, lane: int) -> Value:
        """Subtract the zero point of input 0 or 1."""
        source = (self.i_0, self.i_1)[number]
        return source.payload[lane] - self.pair.inputs[number].type.zero_point
