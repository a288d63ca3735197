"""A multiplier with registers before, within and behind it."""

from functools import reduce
from operator import add

from amaranth import C, Cat, ClockSignal, Instance, Module, Shape, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.gateware.cells import Technology, add_cell, technology_of
from systolith.gateware.delay import delay_payload
from systolith.gateware.primitives.lut_product import multiply_in_luts
from systolith.plan import (
    FACTOR_BITS,
    MULTIPLIER_LATENCY,
    lut_product_latency,
    multiplier_latency,
    partial_products,
)

__all__ = ["Multiplier", "multiply"]

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
    `o` ``plan.multiplier_latency(a_width, b_width)`` cycles after the factors: the multiplier has
    registers for factors, partial products and product, and the fabric has one more. Factors wider
    than 18 bits are multiplied in parts; the fabric has one register for each product of parts,
    and one for the sum. LUTs multiply by the narrow end of a wide factor. Throughput: one per
    cycle. No reset.
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
        latency = multiplier_latency(len(self.a), len(self.b))
        cell = {
            Technology.ECP5: _ecp5,
            Technology.GOWIN: _gowin,
            Technology.NEXUS: _nexus,
        }.get(technology_of(platform))
        if cell is not None:
            parts: list[Value] = []
            products = partial_products(len(self.a), len(self.b))
            for number, product in enumerate(products):
                name = f"part_{number}"
                left, right = (
                    _part(factor, place, bits)
                    for factor, place, bits in zip(
                        (self.a, self.b), product.places, product.bits, strict=True
                    )
                )
                if product.in_luts:
                    part = _by_luts(platform, m, name, left, right)
                else:
                    part = cell(m, name, left, right)
                # Multipliers can be far away: each product travels for a cycle before it is added.
                part = delay_payload(m, part, latency - MULTIPLIER_LATENCY, f"{name}_fabric")
                parts.append(part.shift_left(product.place))
            m.d.sync += self.o.eq(reduce(add, parts))
            return m
        a, b = delay_payload(m, self.a, 1, "a"), delay_payload(m, self.b, 1, "b")
        m.d.comb += self.o.eq(delay_payload(m, a * b, latency - 1, "product"))
        return m


def multiply(platform: object, m: Module, name: str, a: Value, b: Value) -> Value:
    """Add a :class:`Multiplier` of two values. Returns the product."""
    multiplier = add_cell(platform, m, name, Multiplier, a.shape(), b.shape())
    m.d.comb += [multiplier.a.eq(a), multiplier.b.eq(b)]
    return multiplier.o


def _part(factor: Value, place: int, bits: int) -> Value:
    """Cut a part out of a factor; only the highest part of a signed factor is signed."""
    part = factor[place : place + bits]
    return part.as_signed() if factor.shape().signed and place + bits == len(factor) else part


def _by_luts(platform: object, m: Module, name: str, left: Value, right: Value) -> Value:
    """Multiply by the narrower value in LUTs. Returns the product, as late as a multiplier's."""
    wide, narrow = (left, right) if len(left) > len(right) else (right, left)
    weight = narrow if narrow.shape().signed else Cat(narrow, C(0, 1)).as_signed()
    product = multiply_in_luts(platform, m, wide, weight, name)
    late = MULTIPLIER_LATENCY - 1 - lut_product_latency(len(weight))
    return delay_payload(m, product, late, f"{name}_late")


def _ecp5(m: Module, name: str, a: Value, b: Value) -> Value:
    """One MULT18X18D with all its registers. Returns the product, three cycles late."""
    product = Signal(signed(2 * FACTOR_BITS), name=f"{name}_product")
    registers = {
        f"p_REG_{stage}_{pin}": value
        for stage in ("INPUTA", "INPUTB", "PIPELINE", "OUTPUT")
        for pin, value in (("CLK", "CLK0"), ("CE", "CE0"), ("RST", "RST0"))
    }
    pins: dict[str, Value] = {}
    for factor, value in (("A", a), ("B", b)):
        port = _extend(m, value, FACTOR_BITS, f"{name}_{factor.lower()}")
        pins |= {f"i_{factor}{bit}": port[bit] for bit in range(FACTOR_BITS)}
        pins[f"i_SIGNED{factor}"] = C(int(value.shape().signed), 1)
    # The inputs of the cascade, SRIA and SRIB, have wires of their own and stay open.
    zeros = {f"i_C{bit}": C(0, 1) for bit in range(FACTOR_BITS)}
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
        **{f"o_P{bit}": product[bit] for bit in range(2 * FACTOR_BITS)},
    )
    if a.shape().signed or b.shape().signed:
        return product
    return Cat(product)


def _gowin(m: Module, name: str, a: Value, b: Value) -> Value:
    """One MULT9X9 or MULT18X18 with all its registers. Returns the product, three cycles late."""
    bits = HALF if max(len(a), len(b)) <= HALF else FACTOR_BITS
    signs = a.shape().signed or b.shape().signed
    product = Signal(Shape(2 * bits, signs), name=f"{name}_product")
    pins: dict[str, Value] = {}
    for factor, value in (("A", a), ("B", b)):
        pins[f"i_{factor}"] = _extend(m, value, bits, f"{name}_{factor.lower()}")
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


def _nexus(m: Module, name: str, a: Value, b: Value) -> Value:
    """One MULT18X18 with all its registers. Returns the product, three cycles late."""
    signs = a.shape().signed or b.shape().signed
    product = Signal(Shape(2 * FACTOR_BITS, signs), name=f"{name}_product")
    pins: dict[str, Value] = {}
    for factor, value in (("A", a), ("B", b)):
        pins[f"i_{factor}"] = _extend(m, value, FACTOR_BITS, f"{name}_{factor.lower()}")
        pins[f"i_SIGNED{factor}"] = C(int(value.shape().signed), 1)
    for register in ("A", "B", "OUT"):
        pins |= {f"i_CE{register}": C(1, 1), f"i_RST{register}": C(0, 1)}
    m.submodules[name] = Instance(
        "MULT18X18",
        **{f"p_REG{register}": "REGISTER" for register in ("INPUTA", "INPUTB", "OUTPUT")},
        p_RESETMODE="SYNC",
        i_CLK=ClockSignal(),
        **pins,
        o_Z=product,
    )
    return delay_payload(m, product, 1, f"{name}_fabric_product")


def _extend(m: Module, value: Value, bits: int, name: str) -> Value:
    """Extend the sign of a factor, if it has one, to the width of a multiplier's port."""
    port = Signal(Shape(bits, value.shape().signed), name=name)
    m.d.comb += port.eq(value)
    return port
