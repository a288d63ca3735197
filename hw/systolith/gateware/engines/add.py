"""The engine of a residual addition."""

from collections.abc import Sequence

from amaranth import Module, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from systolith.gateware.activations import act_stream, act_word
from systolith.gateware.delay import delay, delay_payload
from systolith.gateware.engines.contents import AddContents, multiplier_pair
from systolith.gateware.parameters import ParameterMemory, connect_load_chain, load_ports
from systolith.gateware.primitives import multiply
from systolith.gateware.requantizing.requantizer import make_lanes
from systolith.gateware.requantizing.twice_rounded import round_once, round_shifted
from systolith.gateware.streams.credit_fifo import CreditFifo
from systolith.network import Add, Rounding
from systolith.plan import AddPlan, zeros_at_end

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
        m.submodules.requantize = requantize = make_lanes(
            contents.requantizer, contents.parameters, loadable=self.loadable
        )
        multipliers: Sequence[Value | int] = self.layer.multipliers
        if self.loadable:
            m.submodules.multipliers = table = ParameterMemory(contents.multipliers, loadable=True)
            pair = data.View(multiplier_pair(plan), table.word)
            multipliers = [Value.cast(pair[0]), Value.cast(pair[1])]
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
            scaled = [
                self._scale(platform, m, f"{number}_{lane}", number, lane, multiplier)
                for number, multiplier in enumerate(multipliers)
            ]
            m.d.sync += sums[lane].eq(scaled[0] + scaled[1])
        transfer = Signal(range(plan.transfers_per_pixel))
        taken = delay(m, take, plan.scaled_latency, "taken")
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

    def _scale(
        self,
        platform: object,
        m: Module,
        name: str,
        number: int,
        lane: int,
        multiplier: Value | int,
    ) -> Value:
        """Multiply an input; if the layer has shifts, shift and round it, in two registers."""
        centred, shifts = self._subtract_zero_point(number, lane), self.layer.shifts
        if shifts is None:
            return multiply(platform, m, f"multiplier_{name}", centred, Value.cast(multiplier))
        left = self.layer.left_shift
        if isinstance(multiplier, int):
            # Zeros at the end of a constant take no multiplier.
            zeros = zeros_at_end(multiplier)
            multiplier, left = multiplier >> zeros, left + zeros
        product = multiply(platform, m, f"multiplier_{name}", centred, Value.cast(multiplier))
        product, rounding = product.shift_left(left), self.layer.requantize.rounding
        if rounding is Rounding.TFLITE:
            product = round_once(product, shifts[number])
        product = delay_payload(m, product, 1, f"once_{name}")
        rounded = round_shifted(product, shifts[number], rounding)
        return delay_payload(m, rounded, 1, f"rounded_{name}")

    def _subtract_zero_point(self, number: int, lane: int) -> Value:
        source = (self.i_0, self.i_1)[number]
        return source.payload[lane] - self.plan.inputs[number].type.zero_point
