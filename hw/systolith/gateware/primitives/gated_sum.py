"""Add or subtract two terms; a bit switches each of them on."""

from amaranth import C, Cat, Instance, Module, Mux, Shape, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.gateware.cells import Technology, technology_of

__all__ = ["GatedSum", "sum_gated"]

SUM, DIFFERENCE = 0x7888, 0x8777
"""What a CCU2C adds for each bit: ``(A and B) + (C and D)``, and ``(C and D) + not (A and B)``.

If the carry does not propagate, both terms are equal, and the first is the next carry. That one may
depend on A and B only, so that a term that is subtracted comes in at A and B."""
CARRIES = 0x0000, 0x000F
"""What half a CCU2C with all inputs high computes: no sum, and a carry of 0, or of 1.

Place and route would add a CCU2C before a chain whose carry input is a constant."""


class GatedSum(wiring.Component):
    """``o = (left if left_on else 0) + (right if right_on else 0)``, modulo ``2 ** width``.

    On an ECP5 a carry chain does this in one LUT for each bit; synthesis would take two or three.

    Parameters
    ----------
    left_shape, right_shape : Shape
    o_shape : Shape
        Narrower than the sum if its highest bits are not wanted.
    negative : bool
        Whether the right term is subtracted.

    Members
    -------
    left, right : ``In(left_shape)``, ``In(right_shape)``
    left_on, right_on : ``In(1)``
    o : ``Out(o_shape)``

    Timing
    ------
    Combinational.
    """

    left: Signal
    left_on: Signal
    right: Signal
    right_on: Signal
    o: Signal

    def __init__(
        self, left_shape: Shape, right_shape: Shape, o_shape: Shape, *, negative: bool = False
    ) -> None:
        self.left_shape, self.right_shape, self.o_shape = left_shape, right_shape, o_shape
        self.negative = negative
        super().__init__(
            {
                "left": In(left_shape),
                "left_on": In(1),
                "right": In(right_shape),
                "right_on": In(1),
                "o": Out(o_shape),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Describe the sum, or make the carry chain of an ECP5."""
        m = Module()
        if technology_of(platform) is Technology.ECP5:
            self._chain(m)
        else:
            left, right = (self.left, self.left_on), (self.right, self.right_on)
            m.d.comb += self.o.eq(_describe(left, right, self.negative))
        return m

    def _chain(self, m: Module) -> None:
        """Add a bit in each half of a CCU2C. The first half makes the first carry."""
        bits = self.o_shape.width
        left, right = Signal(Shape(bits, True)), Signal(Shape(bits, True))
        m.d.comb += [left.eq(self.left), right.eq(self.right)]
        first, second = (left, self.left_on), (right, self.right_on)
        if self.negative:
            first, second = second, first
        table = DIFFERENCE if self.negative else SUM
        high = (C(1, 1),) * 4
        halves: list[tuple[tuple[Value, ...], int]] = [(high, CARRIES[self.negative])]
        halves += [((first[0][i], first[1], second[0][i], second[1]), table) for i in range(bits)]
        if len(halves) % 2:
            halves.append((high, CARRIES[0]))
        sums = [Signal(name=f"sum_{place}") for place in range(len(halves))]
        carry: dict[str, Signal] = {}
        for place in range(0, len(halves), 2):
            pins: dict[str, object] = {**carry}
            for half, (inputs, init) in enumerate(halves[place : place + 2]):
                pins |= {f"i_{pin}{half}": bit for pin, bit in zip("ABCD", inputs, strict=True)}
                pins |= {f"p_INIT{half}": C(init, 16), f"p_INJECT1_{half}": "NO"}
                pins[f"o_S{half}"] = sums[place + half]
            carry_out = Signal(name=f"carry_{place}")
            m.submodules[f"chain_{place}"] = Instance("CCU2C", o_COUT=carry_out, **pins)
            carry = {"i_CIN": carry_out}
        m.d.comb += self.o.eq(Cat(sums)[1 : 1 + bits])


def sum_gated(
    platform: object,
    m: Module,
    name: str,
    left: tuple[Value, Value],
    right: tuple[Value, Value],
    shape: Shape,
    *,
    negative: bool = False,
) -> Value:
    """Make a :class:`GatedSum` of two values, each with the bit that switches it on.

    Where there is no chain to be made, the sum is described in place.

    Returns
    -------
    Value of `shape`
    """
    if technology_of(platform) is not Technology.ECP5:
        total = _describe(left, right, negative)[: shape.width]
        return total.as_signed() if shape.signed else total
    gated = GatedSum(left[0].shape(), right[0].shape(), shape, negative=negative)
    m.submodules[name] = gated
    for (term, on), (port, gate) in (
        (left, (gated.left, gated.left_on)),
        (right, (gated.right, gated.right_on)),
    ):
        m.d.comb += [port.eq(term), gate.eq(on)]
    return gated.o


def _describe(left: tuple[Value, Value], right: tuple[Value, Value], negative: bool) -> Value:
    first, second = (Mux(on, value, 0) for value, on in (left, right))
    return first - second if negative else first + second
