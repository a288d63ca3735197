"""The engine of the greatest channel's number."""

from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from systolith.gateware.activations import act_shape, act_stream, act_word
from systolith.gateware.counting import count_laps
from systolith.gateware.delay import delay, delay_payload
from systolith.gateware.streams.credit_fifo import CreditFifo
from systolith.plan import ArgMaxPlan

__all__ = ["ArgMaxEngine"]


class ArgMaxEngine(wiring.Component):
    """Compare the channels of a pixel, and give the number of the first greatest one.

    Golden model: :func:`systolith.network.apply_layer` of an ArgMax, bit for bit.

    Members
    -------
    i : ``In(act_stream(plan.input.type, plan.lanes))``
    o : ``Out(act_stream(plan.output.type, 1))``

    Timing
    ------
    Latency: ``plan.latency + 2`` cycles from the last transfer of a pixel to ``o.valid``.
    Throughput: one transfer per cycle while there is room for the class of the pixel.
    No combinational path between `i` and `o`.
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(self, plan: ArgMaxPlan) -> None:
        self.plan = plan
        super().__init__(
            {
                "i": In(act_stream(plan.input.type, plan.lanes)),
                "o": Out(act_stream(plan.output.type, 1)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Registers: the input, each level of the tree, the greatest value; then the buffer."""
        m = Module()
        plan, act = self.plan, self.plan.input.type
        word = act_word(plan.output.type, 1)
        m.submodules.output = output = CreditFifo(word, depth=plan.fifo_depth)
        taken = self.i.valid & self.i.ready
        _, last = count_laps(m, plan.transfers_in, taken, "transfer")
        m.d.comb += [
            # Only the last transfer of a pixel needs room for a class.
            self.i.ready.eq(output.room | ~last),
            output.start.eq(taken & last),
            output.write.eq(delay(m, taken & last, plan.latency, "last")),
        ]
        lanes = delay_payload(m, self.i.payload, 1, "input")
        lane, greatest = self._tree(m, [lanes[number] for number in range(plan.lanes)])
        known = delay(m, taken, 1 + plan.levels, "taken")
        final = delay(m, taken & last, 1 + plan.levels, "final")
        first, base = Signal(init=1), Signal(range(max(plan.input.shape[0], 2)))
        best = Signal(act_shape(act), reset_less=True)
        number = Signal(plan.output.type.bits, reset_less=True)
        with m.If(known):
            m.d.sync += [first.eq(final), base.eq(Mux(final, 0, base + plan.lanes))]
            with m.If(first | (greatest > best)):
                m.d.sync += [best.eq(greatest), number.eq(base + lane)]
        m.d.comb += output.payload.eq(number)
        wiring.connect(m, output.o, wiring.flipped(self.o))
        return m

    def _tree(self, m: Module, values: list[Value]) -> tuple[Value, Value]:
        """Compare neighbours, level by level; of equal ones the first stays."""
        places: list[Value] = [Cat() for _ in values]
        for level in range(self.plan.levels):
            pairs = [slice(start, start + 2) for start in range(0, len(values), 2)]
            greater = [
                self._greater(m, f"level{level}_{number}", values[pair], places[pair], level)
                for number, pair in enumerate(pairs)
            ]
            values, places = [value for value, _ in greater], [place for _, place in greater]
        return places[0], values[0]

    def _greater(
        self, m: Module, name: str, values: list[Value], places: list[Value], level: int
    ) -> tuple[Value, Value]:
        """Register the greater of two values with its place; a single one passes."""
        value = Signal(act_shape(self.plan.input.type), name=f"{name}_value", reset_less=True)
        place = Signal(level + 1, name=f"{name}_place", reset_less=True)
        if len(values) == 1:
            m.d.sync += [value.eq(values[0]), place.eq(places[0])]
        else:
            second = Signal(name=f"{name}_second")
            m.d.comb += second.eq(values[1] > values[0])
            m.d.sync += [
                value.eq(Mux(second, values[1], values[0])),
                place.eq(Cat(Mux(second, places[1], places[0]), second)),
            ]
        return value, place
