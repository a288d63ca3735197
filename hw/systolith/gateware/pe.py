"""The processing element: select, multiply, add, pass on."""

from amaranth import Module, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from systolith.gateware.delay import payload
from systolith.gateware.streams import act_word
from systolith.plan import ConvPlan

__all__ = ["PE", "weight_word"]


def weight_word(plan: ConvPlan) -> data.ArrayLayout:
    """Layout of a word of weight memory: a weight and its index in the group per multiplier."""
    return data.ArrayLayout(
        data.StructLayout({"weight": signed(plan.weight_bits), "index": unsigned(plan.index_bits)}),
        plan.array.multipliers,
    )


class PE(wiring.Component):
    """One processing element of a systolic array.

    ``psum_o = psum_i + sum_m weight[m] * acts[index[m]]``

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
    psum_i, psum_o : ``In(signed(acc_bits))``, ``Out(signed(acc_bits))``
        Partial sum from above, and to below.

    Timing
    ------
    `acts_o` one cycle after `acts_i`. `psum_o` ``plan.pe_latency`` cycles after `acts_i`, and one
    after `psum_i`. Throughput: one group per cycle; nothing ever stalls. No reset is needed.
    """

    acts_i: data.View
    acts_o: data.View
    weights: data.View
    psum_i: Signal
    psum_o: Signal

    def __init__(self, plan: ConvPlan, *, turn: bool = False) -> None:
        self.plan, self.turn = plan, turn
        acts = act_word(plan.input.type, plan.group)
        psum = signed(plan.acc_bits)
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
        terms = []
        for number in range(self.plan.array.multipliers):
            kept = self.weights[number]
            act = payload(m, self.acts_i[kept.index], 1, f"act_{number}")
            weight = payload(m, kept.weight, 1, f"weight_{number}")
            terms.append(payload(m, act * weight, 1, f"product_{number}"))
        while len(terms) > 1:
            pairs = [terms[i : i + 2] for i in range(0, len(terms), 2)]
            terms = [payload(m, sum(pair), 1, "tree") for pair in pairs]
        m.d.sync += self.psum_o.eq(self.psum_i + terms[0])
        return m
