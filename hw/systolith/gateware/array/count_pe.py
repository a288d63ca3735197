"""A processing element for single bits: compare, count, add, pass on."""

from amaranth import C, Cat, Module, Mux, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from systolith.gateware.array.pe import PEShape
from systolith.gateware.delay import delay_payload
from systolith.gateware.window.row_reader import mark_layout
from systolith.plan import SingleBits, count_tree

__all__ = ["CountPE"]


class CountPE(wiring.Component):
    """A processing element whose activations and weights are single bits.

    ``psum_o = psum_i + unit * sum_m (acts[index[m]] == weight[m])``, where `unit` is 1 for numbers
    and 2 for signs. An idle row adds 0. A row outside of the image adds half of the most that it
    can: the sum of products with 0.

    Members
    -------
    acts_i, acts_o : ``In(shape.acts)``, ``Out(shape.acts)``
        Activations from the left, and to the right.
    marks_i, marks_o : ``In(mark_layout(shape.marks))``, ``Out(mark_layout(shape.marks))``
        Marks of these activations; only if there are any.
    weights : ``In(shape.weights)``
        The kept weights of this group, in the cycle of `acts_i`.
    psum_i, psum_o : ``In(shape.psums)``, ``Out(shape.psums)``
        Partial sums from above, and to below.

    Timing
    ------
    As :class:`PE`.
    """

    acts_i: data.View
    acts_o: data.View
    marks_i: data.View
    marks_o: data.View
    weights: data.View
    psum_i: data.View
    psum_o: data.View

    def __init__(self, shape: PEShape) -> None:
        self.shape = shape
        members = {
            "acts_i": In(shape.acts),
            "acts_o": Out(shape.acts),
            "weights": In(shape.weights),
            "psum_i": In(shape.psums),
            "psum_o": Out(shape.psums),
        }
        if shape.marks:
            layout = mark_layout(shape.marks)
            members |= {"marks_i": In(layout), "marks_o": Out(layout)}
        super().__init__(members)

    @property
    def cell_name(self) -> str:
        """Name of the Verilog module."""
        return f"count_pe_{self.shape.name}"

    def elaborate(self, platform: object) -> Module:
        """Registers: equal bits, a tree of adders of three bits, sum."""
        m = Module()
        shape = self.shape
        moved = self.acts_i.as_value().rotate_right(shape.act.bits if shape.turn else 0)
        m.d.comb += self.acts_o.eq(delay_payload(m, moved, 1, "acts"))
        outside, idle = self._pass_marks(m)
        equal: list[Value] = [
            delay_payload(m, self._compare(number, outside, idle), 1, f"equal_{number}")
            for number in range(shape.multipliers)
        ]
        count = _count(m, equal)
        if shape.single_bits is SingleBits.SIGNS:
            # Half of an odd number of bits: the other half of a bit.
            half = outside & ~idle if shape.multipliers % 2 else C(0, 1)
            levels = 1 + count_tree(shape.multipliers).latency
            count = Cat(delay_payload(m, half, levels, "half"), count)
        psum = (self.psum_i[0] + count)[: shape.acc_bits]
        m.d.comb += self.psum_o[0].eq(delay_payload(m, psum, 1, "psum"))
        return m

    def _pass_marks(self, m: Module) -> tuple[Value, Value]:
        """Pass the marks on; return those of padding and of idle rows, 0 if there are none."""
        if not self.shape.marks:
            return C(0, 1), C(0, 1)
        marks = self.marks_i
        m.d.comb += self.marks_o.eq(delay_payload(m, marks.as_value(), 1, "marks"))
        outside, idle = (
            marks[name] if name in self.shape.marks else C(0, 1) for name in ("outside", "idle")
        )
        return outside, idle

    def _compare(self, number: int, outside: Value, idle: Value) -> Value:
        """Compare the bits of a product; outside of the image every second one counts."""
        kept = self.weights[number]
        if self.shape.index_bits:
            act = self.acts_i[kept.index]
        else:
            act = self.acts_i[number if self.shape.multipliers > 1 else 0]
        return Mux(outside, C(number % 2, 1), ~(act ^ kept.weight[0])) & ~idle


def _count(m: Module, bits: list[Value]) -> Value:
    """Count ones as :class:`systolith.plan.CountTree` says, with registers behind each level."""
    places = [bits]
    while max(map(len, places)) > 2:
        places = [
            [delay_payload(m, bit, 1, f"bit_{place}") for bit in column]
            for place, column in enumerate(_add_threes(places))
        ]
    rows = [
        Cat(*(column[row] if row < len(column) else C(0, 1) for column in places)) for row in (0, 1)
    ]
    if max(map(len, places)) == 1:
        return rows[0]
    total = (rows[0] + rows[1])[: len(bits).bit_length()]
    return delay_payload(m, total, 1, "count")


def _add_threes(places: list[list[Value]]) -> list[list[Value]]:
    """Add three bits of each place as often as possible; one of both results has the next place."""
    result: list[list[Value]] = [[] for _ in range(len(places) + 1)]
    for place, column in enumerate(places):
        whole = len(column) // 3 * 3
        for first in range(0, whole, 3):
            a, b, c = column[first : first + 3]
            result[place].append(a ^ b ^ c)
            result[place + 1].append((a & b) | (a & c) | (b & c))
        result[place] += column[whole:]
    return result if result[-1] else result[:-1]
