"""The processing element: select, multiply, add, pass on."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from amaranth import Cat, Module, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from systolith.gateware.activations import act_word
from systolith.gateware.delay import delay_payload
from systolith.gateware.primitives import (
    add_in_tree,
    add_to_psum,
    multiply,
    product_terms,
)
from systolith.network import ActType
from systolith.plan import PSUM_TERMS, ConvPlan, MultiplierKind, SingleBits

__all__ = ["PE", "PEShape"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PEShape:
    """All parameters of a processing element; equal shapes are one Verilog module.

    Parameters
    ----------
    act : ActType
        Type of activations.
    group : int
        Activations to select from.
    index_bits : int
        Width of an index; 0 if there is nothing to select.
    weight_bits : int
    multipliers : int
        Products per step.
    packed : int
        Filters per multiplier, 1 or 2.
    acc_bits : int
        Width of a partial sum.
    turn : bool
        Whether activations move down by one lane on their way right.
    kind : MultiplierKind
    single_bits : SingleBits, optional
        What bits stand for if the PE counts equal ones.
    marks : tuple of str
        What rows say about the bits that they read, see :attr:`ConvPlan.marks`.
    """

    act: ActType
    group: int
    index_bits: int
    weight_bits: int
    multipliers: int
    packed: int
    acc_bits: int
    turn: bool = False
    kind: MultiplierKind = MultiplierKind.DSP
    single_bits: SingleBits | None = None
    marks: tuple[str, ...] = ()

    @classmethod
    def of(cls, plan: ConvPlan, *, turn: bool = False) -> "PEShape":
        """Read the shape from a plan."""
        return cls(
            act=plan.stored,
            group=plan.group,
            index_bits=plan.index_bits,
            weight_bits=plan.weight_bits,
            multipliers=plan.array.multipliers,
            packed=plan.packed,
            acc_bits=plan.acc_bits,
            turn=turn,
            kind=plan.multiplier_kind,
            single_bits=plan.single_bits,
            marks=plan.marks,
        )

    @property
    def product_bits(self) -> int:
        """Bits from one packed product to the next: the width of a product."""
        return self.weight_bits + self.act.bits

    @property
    def acts(self) -> data.ArrayLayout:
        """Layout of a group of activations."""
        return act_word(self.act, self.group)

    @property
    def weights(self) -> data.ArrayLayout:
        """Layout of a word of weight memory, for each multiplier.

        weight : one for each filter that shares the multiplier; a single bit is 0 for -1.
        index : number of the selected activation in the group.
        """
        weight = signed(self.weight_bits) if self.single_bits is None else unsigned(1)
        weights = data.ArrayLayout(weight, self.packed)
        kept = data.StructLayout({"weight": weights, "index": unsigned(self.index_bits)})
        return data.ArrayLayout(kept, self.multipliers)

    @property
    def psums(self) -> data.ArrayLayout:
        """Layout of the sums that move down a column; one for each of its filters."""
        return data.ArrayLayout(signed(self.acc_bits), self.packed)

    @property
    def name(self) -> str:
        """Description of the shape as part of a Verilog name."""
        select = f"{self.multipliers}of{self.group}"
        packed = f"x{self.packed}" if self.packed > 1 else ""
        turn = "_turn" if self.turn else ""
        lut = "_lut" if self.kind is MultiplierKind.LUT else ""
        return f"{select}_w{self.weight_bits}{packed}_a{self.act.bits}_s{self.acc_bits}{turn}{lut}"


_Operands = Sequence[tuple[Value, data.View]]
"""For each multiplier its activation, and the weights of all filters."""
_Term = tuple[Value, Value | None]
"""A value, and a bit that is still to be added to it, if any."""


class PE(wiring.Component):
    """One processing element of a systolic array.

    ``psum_o[p] = psum_i[p] + sum_m weight[m][p] * acts[index[m]]``

    for each of the ``packed`` filters p of the column. Two filters whose weights are narrow share a
    multiplier: ``(w_0 + w_1 2**s) * a = w_0 a + (w_1 a) 2**s``, with s the width of a product.

    In a depthwise layer a group holds neighbouring channels, and each PE takes the first. A PE with
    `turn` moves the others down by one lane, so that the first is the channel of the next PE.

    Members
    -------
    acts_i : ``In(shape.acts)``
        The group of n activations, from the left.
    acts_o : ``Out(shape.acts)``
        The same, to the right; moved down by one lane if `turn`.
    weights : ``In(shape.weights)``
        The kept weights of this group, in the cycle of `acts_i`.
    psum_i, psum_o : ``In(shape.psums)``, ``Out(shape.psums)``
        Partial sums from above, and to below.

    Timing
    ------
    `acts_o` one cycle after `acts_i`. `psum_o` ``plan.pe_latency`` cycles after `acts_i`, and one
    after `psum_i`. Throughput: one group per cycle; nothing ever stalls. No reset is needed.
    """

    acts_i: data.View
    acts_o: data.View
    weights: data.View
    psum_i: data.View
    psum_o: data.View

    def __init__(self, shape: PEShape) -> None:
        self.shape = shape
        super().__init__(
            {
                "acts_i": In(shape.acts),
                "acts_o": Out(shape.acts),
                "weights": In(shape.weights),
                "psum_i": In(shape.psums),
                "psum_o": Out(shape.psums),
            }
        )

    @property
    def cell_name(self) -> str:
        """Name of the Verilog module."""
        return f"pe_{self.shape.name}"

    def elaborate(self, platform: object) -> Module:
        """Registers: operands, those of products, an adder tree for several of them, sum."""
        m = Module()
        shape = self.shape
        lane = shape.act.bits if shape.turn else 0
        moved = self.acts_i.as_value().rotate_right(lane)
        m.d.comb += self.acts_o.eq(delay_payload(m, moved, 1, "acts"))
        operands = []
        for number in range(shape.multipliers):
            kept = self.weights[number]
            selected = self.acts_i[kept.index] if shape.index_bits else self.acts_i[0]
            operands.append((delay_payload(m, selected, 1, f"act_{number}"), kept.weight))
        add = self._add_in_luts if shape.kind is MultiplierKind.LUT else self._add_products
        for filter_, psum in enumerate(add(platform, m, operands)):
            register = delay_payload(m, psum[: shape.acc_bits], 1, f"psum_{filter_}")
            m.d.comb += self.psum_o[filter_].eq(register)
        return m

    def _add_in_luts(self, platform: object, m: Module, operands: _Operands) -> Iterator[Value]:
        """Add to each partial sum the terms of all products, which are made of LUTs."""
        for filter_, psum in enumerate(self.psum_i):
            terms = []
            for number, (act, weights) in enumerate(operands):
                name = f"{number}_{filter_}"
                weight = delay_payload(m, weights[filter_], 1, f"weight_{name}")
                terms += product_terms(platform, m, act, weight, f"product_{name}")
            yield add_to_psum(psum, add_in_tree(m, terms, "tree", left=PSUM_TERMS))

    def _add_products(self, platform: object, m: Module, operands: _Operands) -> Iterator[Value]:
        """Add the products of multipliers. One multiplier may serve several filters."""
        bits = self.shape.product_bits
        products = []
        for number, (act, weights) in enumerate(operands):
            factor = delay_payload(m, _pack(weights, bits), 1, f"weight_{number}")
            products.append(multiply(platform, m, f"multiplier_{number}", act, factor))
        for filter_, psum in enumerate(self.psum_i):
            terms = [_unpack(product, filter_, bits) for product in products]
            yield _add(psum, *_tree(m, terms, "tree"))


def _tree(m: Module, terms: list[_Term], name: str) -> _Term:
    """Add terms in pairs with a register after each level; a single term passes."""
    while len(terms) > 1:
        terms = [_join(m, terms[first : first + 2], name) for first in range(0, len(terms), 2)]
    return terms[0]


def _join(m: Module, terms: list[_Term], name: str) -> _Term:
    """Add one or two terms. An adder has one carry input, so a second bit stays to be added."""
    (total, carry), *others = terms
    for value, second in others:
        if carry is None:
            carry, second = second, None
        total, carry = _add(total, value, carry), second
    left = None if carry is None else delay_payload(m, carry, 1, f"{name}_carry")
    return delay_payload(m, total, 1, name), left


def _add(first: Value, second: Value, carry: Value | None) -> Value:
    """Add two signed values, and a bit as the carry that comes out of one more place below."""
    if carry is None:
        return first + second
    total = Cat(carry, first).as_signed() + Cat(carry, second).as_signed()
    return total[1:].as_signed()


def _pack(weights: data.View, product_bits: int) -> Value:
    """Pack the weights into one factor; a negative weight borrows from the next."""
    first, *others = weights
    for number, weight in enumerate(others, 1):
        # `<<` would make the result as wide as its largest possible shift.
        first = first + weight.shift_left(number * product_bits)
    return first


def _unpack(product: Value, number: int, product_bits: int) -> _Term:
    """Extract product `number`; a negative product below has borrowed 1, which is to be added."""
    low, high = number * product_bits, (number + 1) * product_bits
    return product[low:high].as_signed(), product[low - 1] if number else None
