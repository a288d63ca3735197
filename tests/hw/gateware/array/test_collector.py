"""Accumulators, and the order of the collected results."""

import random

import pytest

from systolith.gateware import Collector
from systolith.plan import ArrayShape, ConvPlan, plan_network
from tests.support.networks import convolution
from tests.support.stream_bench import simulate

SHAPES = {
    "one column": ArrayShape(rows=2, columns=1),
    "passes as long as the drain": ArrayShape(rows=3, columns=3),
    "passes of one cycle": ArrayShape(rows=9, columns=7),
    "passes shorter than the columns": ArrayShape(rows=5, columns=6),
    "filters left over": ArrayShape(rows=4, columns=5),
}


def _plan(array: ArrayShape) -> ConvPlan:
    network = convolution(channels=1, filters=7, size=(4, 4))
    (plan,) = plan_network(network, arrays={"conv": array}).convolutions
    return plan


def test_the_shapes_need_delays_and_need_none() -> None:
    delays = {name: max(_plan(array).hold_delays) for name, array in SHAPES.items()}
    assert delays["passes of one cycle"] > 0 == delays["one column"]


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("gap", [0.0, 0.4])
def test_each_pass_is_summed_and_drained_on_time(name: str, gap: float) -> None:
    plan = _plan(SHAPES[name])
    dut, rng = Collector(plan), random.Random(name)
    limit = 1 << plan.acc_bits - 6
    psums: dict[tuple[int, int], int] = {}
    flags: dict[int, tuple[bool, bool]] = {}
    expected: list[tuple[int, int, list[int]]] = []
    cycle, passes = 0, 4 * plan.passes
    for number in range(passes):
        while rng.random() < gap:
            cycle += 1
        sums = [0] * plan.array.columns
        for step in range(plan.pass_cycles):
            flags[cycle] = (step == 0, step == plan.pass_cycles - 1)
            for column in range(plan.array.columns):
                psums[cycle + column, column] = value = rng.randrange(-limit, limit)
                sums[column] += value
            cycle += 1
        pass_of_pixel = number % plan.passes
        done = sum(plan.transfers_of_pass(before) for before in range(pass_of_pixel))
        for part in range(plan.transfers_of_pass(pass_of_pixel)):
            lanes = sums[part * plan.lanes_out : (part + 1) * plan.lanes_out]
            expected.append((cycle - 1 + plan.drain_delay + 1 + part, done + part, lanes))
    found: list[tuple[int, int, list[int]]] = []

    async def bench(ctx):  # type: ignore[no-untyped-def]
        transfer = 0
        for now in range(cycle + plan.drain_delay + plan.drain_cycles + 3):
            first, last = flags.get(now, (False, False))
            ctx.set(dut.first, first)
            ctx.set(dut.last, last)
            for column in range(plan.array.columns):
                # What comes between passes is never added.
                ctx.set(dut.psums[column], psums.get((now, column), 1))
            if ctx.get(dut.o_valid):
                lanes = [ctx.get(dut.o[lane]) for lane in range(plan.lanes_out)]
                found.append((now, transfer, lanes))
            transfer = ctx.get(dut.transfer)
            await ctx.tick()

    simulate(dut, bench)
    assert found == expected
