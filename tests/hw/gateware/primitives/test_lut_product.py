"""Terms of products in LUTs: their number, their sum, and what a partial sum makes of them."""

import random

import pytest
from amaranth import Module, Shape, Signal, Value
from amaranth.sim import Simulator
from hypothesis import given, settings
from hypothesis import strategies as st

from systolith.gateware.primitives import ProductTerm, add_in_tree, add_to_psum, product_terms
from systolith.plan import lut_sum_latency, lut_terms

WIDTHS = st.integers(1, 14)
ADDENDS = st.tuples(WIDTHS, st.booleans(), st.integers(0, 9))
"""Bits, whether signed, and the place of a term."""


def _draw(rng: random.Random, shape: Shape) -> int:
    low = -(1 << shape.width - 1) if shape.signed else 0
    high = low + (1 << shape.width) - 1
    return rng.choice([low, high, rng.randint(low, high)])


def _wrap(value: int, bits: int) -> int:
    return (value + (1 << bits - 1)) % (1 << bits) - (1 << bits - 1)


@settings(max_examples=150, deadline=None)
@given(psum_bits=st.integers(4, 24), addends=st.lists(ADDENDS, min_size=1, max_size=2))
def test_a_partial_sum_takes_any_two_terms(
    psum_bits: int, addends: list[tuple[int, bool, int]]
) -> None:
    rng = random.Random(psum_bits)
    shapes = [Shape(bits, signed) for bits, signed, _ in addends]
    psum, values = Signal(Shape(psum_bits, True)), [Signal(shape) for shape in shapes]
    places = [place for *_, place in addends]
    terms = [ProductTerm(value, place) for value, place in zip(values, places, strict=True)]
    m, o = Module(), Signal(Shape(psum_bits, True))
    m.d.comb += o.eq(add_to_psum(psum, terms)[:psum_bits])

    async def bench(ctx):  # type: ignore[no-untyped-def]
        for _ in range(30):
            above, numbers = _draw(rng, psum.shape()), [_draw(rng, shape) for shape in shapes]
            ctx.set(psum, above)
            for value, number in zip(values, numbers, strict=True):
                ctx.set(value, number)
            await ctx.delay(1e-6)
            total = above + sum(n << place for n, place in zip(numbers, places, strict=True))
            assert ctx.get(o) == _wrap(total, psum_bits), (above, numbers)

    simulator = Simulator(m)
    simulator.add_testbench(bench)
    simulator.run()


@pytest.mark.parametrize("left", [1, 2])
@pytest.mark.parametrize("weight_bits", range(1, 9))
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("act_bits", [2, 5, 8])
def test_terms_are_as_many_and_as_late_as_the_plan_says(
    act_bits: int, signed: bool, weight_bits: int, left: int
) -> None:
    m, rng = Module(), random.Random(weight_bits)
    a, w = Signal(Shape(act_bits, signed)), Signal(Shape(weight_bits, True))
    terms = product_terms(None, m, a, w, "product")
    assert len(terms) == lut_terms(weight_bits)
    sums = add_in_tree(m, terms, "tree", left=left)
    assert len(sums) == min(left, len(terms))
    latency = lut_sum_latency(len(terms), left)
    total: Value = sums[0].above(0)
    for other in sums[1:]:
        total = total + other.above(0)
    o = Signal(Shape(20, True))
    m.d.comb += o.eq(total)
    pairs = [(_draw(rng, a.shape()), _draw(rng, w.shape())) for _ in range(40)]

    async def bench(ctx):  # type: ignore[no-untyped-def]
        for cycle in range(len(pairs) + latency - 1):
            first, second = pairs[min(cycle, len(pairs) - 1)]
            ctx.set(a, first)
            ctx.set(w, second)
            await ctx.tick()
            if cycle >= latency - 1:
                first, second = pairs[cycle - latency + 1]
                assert ctx.get(o) == first * second, (first, second)

    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
