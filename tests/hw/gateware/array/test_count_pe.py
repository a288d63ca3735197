"""The processing element of single bits: equal bits, marks of rows, timing."""

import random

import pytest
from amaranth.sim import Simulator

from systolith.gateware import PEShape
from systolith.gateware.array.count_pe import CountPE
from systolith.network import ActType
from systolith.plan import SingleBits, count_tree

ACC_BITS = 12
BEFORE, AFTER = 1, 1
"""Registers of a PE in front of the tree and behind it."""


def _shape(
    multipliers: int, group: int, single_bits: SingleBits, marks: tuple[str, ...]
) -> PEShape:
    return PEShape(
        act=ActType(bits=1, signed=False),
        group=group,
        index_bits=0 if group == multipliers else (group - 1).bit_length(),
        weight_bits=1,
        multipliers=multipliers,
        packed=1,
        acc_bits=ACC_BITS,
        single_bits=single_bits,
        marks=marks,
    )


@pytest.mark.parametrize(
    ("single_bits", "marks"),
    [
        (SingleBits.NUMBERS, ()),
        (SingleBits.NUMBERS, ("idle",)),
        (SingleBits.SIGNS, ("outside",)),
        (SingleBits.SIGNS, ("outside", "idle")),
    ],
)
@pytest.mark.parametrize(
    ("multipliers", "group"), [(1, 1), (1, 4), (2, 4), (3, 3), (5, 8), (16, 16)]
)
def test_counts_equal_bits_at_the_documented_time(
    multipliers: int, group: int, single_bits: SingleBits, marks: tuple[str, ...]
) -> None:
    shape, rng = _shape(multipliers, group, single_bits, marks), random.Random(multipliers)
    dut, got = CountPE(shape), []
    unit = 2 if single_bits is SingleBits.SIGNS else 1
    steps, expected = [], []
    for _ in range(24):
        acts = [rng.randrange(2) for _ in range(group)]
        index = (
            list(range(group)) if group == multipliers else rng.sample(range(group), multipliers)
        )
        weights = [rng.randrange(2) for _ in range(multipliers)]
        marked = {mark: rng.randrange(2) for mark in marks}
        psum = rng.randrange(-900, 900)
        total = unit * sum(acts[i] == weight for i, weight in zip(index, weights, strict=True))
        if marked.get("outside"):
            total = multipliers
        if marked.get("idle"):
            total = 0
        kept = [
            {"weight": [weight], "index": i if shape.index_bits else 0}
            for i, weight in zip(index, weights, strict=True)
        ]
        steps.append((acts, kept, marked, psum))
        expected.append(psum + total)
    latency = BEFORE + count_tree(multipliers).latency + AFTER

    async def bench(ctx):  # type: ignore[no-untyped-def]
        for cycle in range(len(steps) + latency):
            if cycle < len(steps):
                acts, kept, marked, _ = steps[cycle]
                ctx.set(dut.acts_i, acts)
                ctx.set(dut.weights, kept)
                if marks:
                    ctx.set(dut.marks_i, marked)
            if 0 <= cycle - latency + 1 < len(steps):
                ctx.set(dut.psum_i, [steps[cycle - latency + 1][3]])
            await ctx.tick()
            if cycle < len(steps):
                assert [ctx.get(dut.acts_o[lane]) for lane in range(group)] == steps[cycle][0]
                if marks:
                    assert {mark: ctx.get(dut.marks_o[mark]) for mark in marks} == steps[cycle][2]
            if cycle >= latency - 1:
                got.append(ctx.get(dut.psum_o[0]))

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert got[: len(steps)] == expected


@pytest.mark.parametrize("bits", [1, 2, 3, 7, 64, 100])
def test_a_tree_keeps_all_bits(bits: int) -> None:
    tree = count_tree(bits)
    for level in tree.heights:
        assert sum(height << place for place, height in enumerate(level)) >= bits
    assert max(tree.heights[-1]) <= 2
    assert tree.adders <= bits
