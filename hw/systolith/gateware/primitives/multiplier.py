"""A multiplier with registers before, within and behind it."""

from collections.abc import Iterator
from functools import reduce
from operator import add

from amaranth import C, Cat, ClockSignal, Instance, Module, Shape, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.gateware.cells import Technology, add_cell, technology_of
from systolith.gateware.delay import delay_payload
from systolith.plan import MULTIPLIER_LATENCY

__all__ = ["Multiplier", "multiply"]

PORT = 18
"""Bits of a factor of MULT18X18D and of MULT18X18."""
HALF = 9
"""Bits of a factor of MULT9X9, half of a Gowin MULT18X18."""


class Multiplier(wiring.Component):
    """``o = a * b``, exactly.

    Parameters
    ----------
    a_shape, b_shape : Shape
        Shapes of the factors, signed or unsigned.

    Members
    -------
    a, b : ``In(a_shape)``, ``In(b_shape)``
    o : ``Out(signed(a_width + b_width + 1))``, or as narrow as Amaranth's product

    Timing
    ------
    `o` ``plan.MULTIPLIER_LATENCY`` cycles after the factors: the multiplier has registers for
    factors, partial products and product; the fabric has one more, behind the sum of the products
    of factors wider than 18 bits. Throughput: one per cycle. No reset.
    """

    a: Signal
    b: Signal
    o: Signal

    def __init__(self, a_shape: Shape, b_shape: Shape) -> None:
        self.a_shape, self.b_shape = a_shape, b_shape
        product = (Signal(a_shape) * Signal(b_shape)).shape()
        super().__init__({"a": In(a_shape), "b": In(b_shape), "o": Out(product)})

    @property
    def cell_name(self) -> str:
        """Name of the Verilog module."""
        a, b = (
            f"{'s' if shape.signed else 'u'}{shape.width}" for shape in (self.a_shape, self.b_shape)
        )
        return f"multiplier_{a}_{b}"

    def elaborate(self, platform: object) -> Module:
        """Describe the product, or add up the products of the device's multipliers."""
        m = Module()
        cell = {Technology.ECP5: _ecp5, Technology.GOWIN: _gowin}.get(technology_of(platform))
        if cell is not None:
            parts: list[Value] = []
            for first, left in _limbs(self.a):
                for second, right in _limbs(self.b):
                    if 1 in (len(left), len(right)):
                        part = delay_payload(m, left * right, MULTIPLIER_LATENCY - 1, "product")
                    else:
                        part = cell(m, f"part_{first}_{second}", left, right)
                    parts.append(part.shift_left(first + second))
            m.d.sync += self.o.eq(reduce(add, parts))
            return m
        a, b = delay_payload(m, self.a, 1, "a"), delay_payload(m, self.b, 1, "b")
        m.d.comb += self.o.eq(delay_payload(m, a * b, MULTIPLIER_LATENCY - 1, "product"))
        return m


def multiply(platform: object, m: Module, name: str, a: Value, b: Value) -> Value:
    """Add a :class:`Multiplier` of two values. Returns the product."""
    multiplier = add_cell(platform, m, name, Multiplier, a.shape(), b.shape())
    m.d.comb += [multiplier.a.eq(a), multiplier.b.eq(b)]
    return multiplier.o


def _limbs(value: Value) -> Iterator[tuple[int, Value]]:
    """Split a value into parts of at most 18 bits; only the highest of a signed value is signed."""
    shape = value.shape()
    for low in range(0, shape.width, PORT):
        limb = value[low : low + PORT]
        highest = low + PORT >= shape.width
        yield low, limb.as_signed() if highest and shape.signed else limb


def _ecp5(m: Module, name: str, a: Value, b: Value) -> Value:
    """One MULT18X18D with all its registers. Returns the product, three cycles late."""
    product = Signal(signed(2 * PORT), name=f"{name}_product")
    registers = {
        f"p_REG_{stage}_{pin}": value
        for stage in ("INPUTA", "INPUTB", "PIPELINE", "OUTPUT")
        for pin, value in (("CLK", "CLK0"), ("CE", "CE0"), ("RST", "RST0"))
    }
    pins: dict[str, Value] = {}
    for factor, value in (("A", a), ("B", b)):
        # The assignment extends the sign to the width of the port.
        port = Signal(Shape(PORT, value.shape().signed), name=f"{name}_{factor.lower()}")
        m.d.comb += port.eq(value)
        pins |= {f"i_{factor}{bit}": port[bit] for bit in range(PORT)}
        pins[f"i_SIGNED{factor}"] = C(int(value.shape().signed), 1)
    # The inputs of the cascade, SRIA and SRIB, have wires of their own and stay open.
    zeros = {f"i_C{bit}": C(0, 1) for bit in range(PORT)}
    m.submodules[name] = Instance(
        "MULT18X18D",
        **registers,
        p_CLK0_DIV="ENABLED",
        p_GSR="DISABLED",
        p_MULT_BYPASS="DISABLED",
        p_SOURCEB_MODE="B_SHIFT",
        p_RESETMODE="SYNC",
        i_CLK0=ClockSignal(),
        i_CE0=C(1, 1),
        i_RST0=C(0, 1),
        i_SOURCEA=C(0, 1),
        i_SOURCEB=C(0, 1),
        **zeros,
        **pins,
        **{f"o_P{bit}": product[bit] for bit in range(2 * PORT)},
    )
    if a.shape().signed or b.shape().signed:
        return product
    return Cat(product)


def _gowin(m: Module, name: str, a: Value, b: Value) -> Value:
    """One MULT9X9 or MULT18X18 with all its registers. Returns the product, three cycles late."""
    bits = HALF if max(len(a), len(b)) <= HALF else PORT
    signs = a.shape().signed or b.shape().signed
    product = Signal(Shape(2 * bits, signs), name=f"{name}_product")
    pins: dict[str, Value] = {}
    for factor, value in (("A", a), ("B", b)):
        # The assignment extends the sign to the width of the port.
        port = Signal(Shape(bits, value.shape().signed), name=f"{name}_{factor.lower()}")
        m.d.comb += port.eq(value)
        pins[f"i_{factor}"] = port
        pins[f"i_{factor}SIGN"] = C(int(value.shape().signed), 1)
        # The inputs of the cascade are not selected.
        pins[f"i_SI{factor}"] = C(0, bits)
        pins[f"i_{factor}SEL"] = C(0, 1)
    registers = ("AREG", "BREG", "PIPE_REG", "OUT_REG")
    m.submodules[name] = Instance(
        f"MULT{bits}X{bits}",
        **{f"p_{register}": C(1, 1) for register in registers},
        p_MULT_RESET_MODE="SYNC",
        i_CLK=ClockSignal(),
        i_CE=C(1, 1),
        i_RESET=C(0, 1),
        **pins,
        o_DOUT=product,
    )
    return product
