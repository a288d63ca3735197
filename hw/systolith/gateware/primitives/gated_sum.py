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
        """Add two bits in each CCU2C."""
        bits = self.o_shape.width
        even = Shape(bits + bits % 2, self.o_shape.signed)
        left, right = Signal(Shape(even.width, True)), Signal(Shape(even.width, True))
        m.d.comb += [left.eq(self.left), right.eq(self.right)]
        first, second = (left, self.left_on), (right, self.right_on)
        if self.negative:
            first, second = second, first
        init = DIFFERENCE if self.negative else SUM
        carry: Value = C(int(self.negative), 1)
        total = []
        for bit in range(0, even.width, 2):
            sums, carry_out = Signal(2, name=f"sum_{bit}"), Signal(name=f"carry_{bit}")
            pins: dict[str, Value] = {}
            for place in range(2):
                pins |= {
                    f"i_A{place}": first[0][bit + place],
                    f"i_B{place}": first[1],
                    f"i_C{place}": second[0][bit + place],
                    f"i_D{place}": second[1],
                    f"o_S{place}": sums[place],
                }
            m.submodules[f"chain_{bit}"] = Instance(
                "CCU2C",
                p_INIT0=C(init, 16),
                p_INIT1=C(init, 16),
                p_INJECT1_0="NO",
                p_INJECT1_1="NO",
                i_CIN=carry,
                o_COUT=carry_out,
                **pins,
            )
            carry = carry_out
            total.append(sums)
        m.d.comb += self.o.eq(Cat(total))


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
