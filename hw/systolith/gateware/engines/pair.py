"""Common part of engines that compute one result of two streams."""

from abc import abstractmethod
from collections.abc import Iterable, Sequence

from amaranth import Module, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from systolith.gateware.activations import act_stream, act_word
from systolith.gateware.counting import count_laps
from systolith.gateware.delay import delay
from systolith.gateware.engines.contents import AddContents, RequantizedContents
from systolith.gateware.parameters import ParameterMemory, connect_load_chain, load_ports
from systolith.gateware.requantizing.requantizer import make_lanes
from systolith.gateware.streams.credit_fifo import CreditFifo
from systolith.gateware.streams.double_buffer import DoubleBuffer
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
    Each input enters two registers, in any order. Latency: ``plan.latency`` cycles from the later
    transfer of a pair to the write of its result. Throughput: one pair per cycle while there is
    room. No combinational path between inputs and output.
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
        self, platform: object, m: Module, operands: Sequence[Sequence[Value]]
    ) -> tuple[Iterable[Value], Sequence[ParameterMemory]]:
        """Compute a value of each pair of lanes, ``plan.operand_latency`` cycles after it is taken.

        Parameters
        ----------
        platform : object
        m : Module
        operands : pair of sequences of Value
            Differences of both inputs from their zero points, for each lane.

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
        take = Signal()
        entrances = [self._enter(m, number, take) for number in (0, 1)]
        m.d.comb += [
            take.eq(entrances[0].full & entrances[1].full & output.room),
            output.start.eq(take),
        ]
        operands = [
            self._centred(number, entrance.contents) for number, entrance in enumerate(entrances)
        ]
        values, memories = self.combine(platform, m, operands)
        if self.loadable:
            connect_load_chain(m, self, [*memories, requantize])
        m.d.comb += [requantize.i[lane].eq(value) for lane, value in enumerate(values)]
        # The parameters of a transfer are read one cycle ahead of its values.
        taken = delay(m, take, plan.operand_latency - 1, "taken")
        transfer, _ = count_laps(m, plan.transfers_per_pixel, taken, "transfer")
        m.d.comb += [
            requantize.valid.eq(delay(m, taken, 1, "valid")),
            requantize.transfer.eq(transfer),
            output.payload.eq(requantize.o),
            output.write.eq(requantize.o_valid),
        ]
        wiring.connect(m, output.o, wiring.flipped(self.o))
        return m

    def _enter(self, m: Module, number: int, take: Signal) -> DoubleBuffer:
        """Put two registers behind an input, so that it does not depend on the other one."""
        source = (self.i_0, self.i_1)[number]
        m.submodules[f"entrance_{number}"] = entrance = DoubleBuffer(
            len(source.payload.as_value()), 1
        )
        m.d.comb += [
            source.ready.eq(entrance.ready),
            entrance.write.eq(source.valid & entrance.ready),
            entrance.data.eq(source.payload),
            entrance.complete.eq(1),
            entrance.emptied.eq(take),
        ]
        return entrance

    def _centred(self, number: int, contents: Signal) -> list[Value]:
        """Subtract the zero point of an input from each lane."""
        act = self.pair.inputs[number].type
        word = data.View(act_word(act, self.pair.lanes), contents)
        return [word[lane] - act.zero_point for lane in range(self.pair.lanes)]
