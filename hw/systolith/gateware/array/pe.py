"""The processing element: select, multiply, add, pass on."""

from dataclasses import dataclass

from amaranth import Cat, Module, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from systolith.gateware.activations import act_word
from systolith.gateware.delay import delay_payload
from systolith.gateware.primitives import multiply, multiply_in_luts
from systolith.network import ActType
from systolith.plan import ConvPlan, MultiplierKind, SingleBits

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
        """Registers: operands, those of a multiplier, an adder tree for several of them, sum."""
        m = Module()
        shape = self.shape
        lane = shape.act.bits if shape.turn else 0
        moved = self.acts_i.as_value().rotate_right(lane)
        m.d.comb += self.acts_o.eq(delay_payload(m, moved, 1, "acts"))
        products: list[list[_Term]] = []
        for number in range(shape.multipliers):
            kept = self.weights[number]
            selected = self.acts_i[kept.index] if shape.index_bits else self.acts_i[0]
            act = delay_payload(m, selected, 1, f"act_{number}")
            by = self._by_luts if shape.kind is MultiplierKind.LUT else self._by_multiplier
            products.append(by(platform, m, act, kept.weight, number))
        for filter_ in range(shape.packed):
            total, carry = _tree(m, [product[filter_] for product in products], "tree")
            psum = _add(self.psum_i[filter_], total, carry)[: shape.acc_bits]
            m.d.comb += self.psum_o[filter_].eq(delay_payload(m, psum, 1, f"psum_{filter_}"))
        return m

    def _by_luts(
        self, platform: object, m: Module, act: Value, weights: data.View, number: int
    ) -> list[_Term]:
        """Compute each product of an activation in a tree of adders."""
        terms: list[_Term] = []
        for filter_, weight in enumerate(weights):
            name = f"{number}_{filter_}"
            operand = delay_payload(m, weight, 1, f"weight_{name}")
            terms.append((multiply_in_luts(platform, m, act, operand, f"product_{name}"), None))
        return terms

    def _by_multiplier(
        self, platform: object, m: Module, act: Value, weights: data.View, number: int
    ) -> list[_Term]:
        """Compute all products of an activation in one multiplier."""
        bits = self.shape.product_bits
        operand = delay_payload(m, _pack(weights, bits), 1, f"weight_{number}")
        product = multiply(platform, m, f"multiplier_{number}", act, operand)
        return [_unpack(product, filter_, bits) for filter_ in range(self.shape.packed)]


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
