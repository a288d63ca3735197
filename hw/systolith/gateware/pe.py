"""The processing element: select, multiply, add, pass on."""

from amaranth import C, Module, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from systolith.gateware.delay import payload
from systolith.gateware.streams import act_word
from systolith.plan import ConvPlan

__all__ = ["PE", "psum_layout", "weight_word"]


def weight_word(plan: ConvPlan) -> data.ArrayLayout:
    """Layout of a word of weight memory, for each multiplier.

    weight : one for each filter that shares it.
    index : of the activation in the group that they meet.
    """
    weights = data.ArrayLayout(signed(plan.weight_bits), plan.packed)
    return data.ArrayLayout(
        data.StructLayout({"weight": weights, "index": unsigned(plan.index_bits)}),
        plan.array.multipliers,
    )


def psum_layout(plan: ConvPlan) -> data.ArrayLayout:
    """Layout of the sums that go down a column: one for each of its filters."""
    return data.ArrayLayout(signed(plan.acc_bits), plan.packed)


def _operand(weights: data.View, product_bits: int) -> Value:
    """One factor for all products: the weights side by side, carries and all."""
    return sum(
        (weight << (number * product_bits) for number, weight in enumerate(weights)), start=C(0)
    )


def _apart(product: Value, number: int, product_bits: int) -> Value:
    """Product `number` of several side by side; a negative one has taken 1 from the next."""
    low, high = number * product_bits, (number + 1) * product_bits
    own = product[low:high].as_signed()
    return own + product[low - 1] if number else own


class PE(wiring.Component):
    """One processing element of a systolic array.

    ``psum_o[p] = psum_i[p] + sum_m weight[m][p] * acts[index[m]]``

    for each of the ``plan.packed`` filters p of the column. Two filters whose weights are narrow
    share a multiplier: ``(w_0 + w_1 2**s) * a = w_0 a + (w_1 a) 2**s``, with s the width of a
    product.

    In a depthwise layer a group is of neighbouring channels, and each PE takes the first; those
    that `turn` move the others down, so that the next PE finds its own there.

    Members
    -------
    acts_i : ``In(act_word(act, group))``
        The group of n activations, from the left.
    acts_o : ``Out(act_word(act, group))``
        The same, to the right; moved down by one lane if `turn`.
    weights : ``In(weight_word(plan))``
        The kept weights that meet this group; in the cycle of `acts_i`.
    psum_i, psum_o : ``In(psum_layout(plan))``, ``Out(psum_layout(plan))``
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

    def __init__(self, plan: ConvPlan, *, turn: bool = False) -> None:
        self.plan, self.turn = plan, turn
        acts = act_word(plan.input.type, plan.group)
        psum = psum_layout(plan)
        super().__init__(
            {
                "acts_i": In(acts),
                "acts_o": Out(acts),
                "weights": In(weight_word(plan)),
                "psum_i": In(psum),
                "psum_o": Out(psum),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Three registers: operands, product, sum; an adder tree for several multipliers."""
        m = Module()
        lane = self.plan.input.type.bits if self.turn else 0
        m.d.sync += self.acts_o.eq(self.acts_i.as_value().rotate_right(lane))
        bits = self.plan.product_bits
        products = []
        for number in range(self.plan.array.multipliers):
            kept = self.weights[number]
            act = payload(m, self.acts_i[kept.index], 1, f"act_{number}")
            weight = payload(m, _operand(kept.weight, bits), 1, f"weight_{number}")
            products.append(payload(m, act * weight, 1, f"product_{number}"))
        for filter_ in range(self.plan.packed):
            terms = [_apart(product, filter_, bits) for product in products]
            while len(terms) > 1:
                pairs = [terms[i : i + 2] for i in range(0, len(terms), 2)]
                terms = [payload(m, sum(pair), 1, "tree") for pair in pairs]
            m.d.sync += self.psum_o[filter_].eq(self.psum_i[filter_] + terms[0])
        return m
