"""The processing element: selection, products, sum, timing."""

import random
import re
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from amaranth.back import rtlil
from amaranth.sim import Simulator

from systolith.emit import to_verilog
from systolith.gateware import PE, PEShape, Technology
from systolith.network import (
    ActType,
    Conv2d,
    IntegerNetwork,
    KOutOfN,
    Pattern,
    Requantize,
    Tensor,
)
from systolith.plan import ArrayShape, ConvPlan, MultiplierKind, plan_network
from tests.support.networks import convolution


def _plan(kept: tuple[int, int] | None, multipliers: int, kind: MultiplierKind) -> ConvPlan:
    network = convolution(channels=12, filters=2, size=(4, 4), kept=kept)
    array = ArrayShape(rows=1, columns=1, multipliers=multipliers)
    (plan,) = plan_network(network, arrays={"conv": array}).convolutions
    return replace(plan, multiplier_kind=kind)


@pytest.mark.parametrize("kind", MultiplierKind)
@pytest.mark.parametrize(
    ("kept", "multipliers"),
    [(None, 1), ((1, 4), 1), ((2, 6), 1), ((2, 4), 2), ((3, 12), 3), ((5, 6), 5)],
)
def test_sums_selected_products_at_the_documented_time(
    kept: tuple[int, int] | None, multipliers: int, kind: MultiplierKind
) -> None:
    plan = _plan(kept, multipliers, kind)
    dut, rng = PE(PEShape.of(plan)), random.Random(0)
    extremes = [0, 255]
    steps = [
        (
            [rng.choice(extremes) if number < 4 else rng.randrange(256) for _ in range(plan.group)],
            [
                {"weight": [rng.choice([-128, 127, rng.randrange(-128, 128)])],
                 "index": rng.randrange(plan.group)}
                for _ in range(multipliers)
            ],
            rng.randrange(-9999, 9999),
        )
        for number in range(20)
    ]  # fmt: skip
    expected = [
        psum + sum(kept["weight"][0] * acts[kept["index"]] for kept in weights)
        for acts, weights, psum in steps
    ]
    got, passed_on = [], []

    async def bench(ctx):  # type: ignore[no-untyped-def]
        for cycle in range(len(steps) + plan.pe_latency):
            if cycle < len(steps):
                ctx.set(dut.acts_i, steps[cycle][0])
                ctx.set(dut.weights, steps[cycle][1])
            if cycle >= plan.pe_latency - 1 and cycle - plan.pe_latency + 1 < len(steps):
                # The sum from above comes in the last cycle, for it takes one to add.
                ctx.set(dut.psum_i, [steps[cycle - plan.pe_latency + 1][2]])
            await ctx.tick()
            if cycle < len(steps):
                passed_on.append([ctx.get(dut.acts_o[lane]) for lane in range(plan.group)])
            if cycle >= plan.pe_latency - 1:
                got.append(ctx.get(dut.psum_o[0]))

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    bits = plan.acc_bits
    wrapped = [((value + (1 << bits - 1)) % (1 << bits)) - (1 << bits - 1) for value in expected]
    assert got[: len(steps)] == wrapped
    assert passed_on == [acts for acts, _, _ in steps]


@pytest.mark.parametrize("weight_bits", [1, 2, 3, 4])
@pytest.mark.parametrize(("signed", "act_bits"), [(False, 8), (True, 8), (True, 2), (False, 5)])
@pytest.mark.parametrize("multipliers", [1, 3])
@pytest.mark.parametrize("kind", MultiplierKind)
def test_two_products_in_one_multiplier_are_both_exact(
    weight_bits: int, signed: bool, act_bits: int, multipliers: int, kind: MultiplierKind
) -> None:
    act = ActType(bits=act_bits, signed=signed)
    pattern = Pattern(select=KOutOfN(3, 4, shared_by=2)) if multipliers == 3 else Pattern()
    mask = pattern.best_mask(np.arange(2 * 4 * 9).reshape(2, 4, 3, 3))
    layer = Conv2d(
        name="conv",
        input="input",
        weight=np.where(mask, -1, 0),
        bias=np.zeros(2, dtype=int),
        requantize=Requantize(multiplier=np.array([1]), shift=np.array([0])),
        output=ActType(bits=16, signed=True),
        weight_bits=weight_bits,
        pattern=pattern,
        mask=None if pattern.is_dense else mask,
    )
    network = IntegerNetwork(input=Tensor((4, 3, 3), act), layers=(layer,))
    array = ArrayShape(rows=1, columns=1, multipliers=multipliers, packed=2)
    (plan,) = plan_network(network, arrays={"conv": array}).convolutions
    plan = replace(plan, acc_bits=20, multiplier_kind=kind)
    low, high = -(1 << plan.weight_bits - 1), (1 << plan.weight_bits - 1) - 1
    extremes = product([act.low, act.high], [low, high], [low, high])
    rng = random.Random(weight_bits)
    steps = [*extremes] + [
        (rng.randint(act.low, act.high), rng.randint(low, high), rng.randint(low, high))
        for _ in range(50)
    ]
    dut, got = PE(PEShape.of(plan)), []

    async def bench(ctx):  # type: ignore[no-untyped-def]
        for cycle in range(len(steps) + plan.pe_latency):
            if cycle < len(steps):
                value, first, second = steps[cycle]
                ctx.set(dut.acts_i, [value] * plan.group)
                ctx.set(dut.weights, [{"weight": [first, second], "index": 0}] * multipliers)
            await ctx.tick()
            if cycle >= plan.pe_latency - 1:
                got.append((ctx.get(dut.psum_o[0]), ctx.get(dut.psum_o[1])))

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert got[: len(steps)] == [
        (multipliers * value * first, multipliers * value * second)
        for value, first, second in steps
    ]


@pytest.mark.parametrize("kept", [None, (2, 4)])
def test_adders_need_no_multiplier(kept: tuple[int, int] | None) -> None:
    count = {
        kind: rtlil.convert(PE(PEShape.of(_plan(kept, 1, kind)))).count("cell $mul")
        for kind in MultiplierKind
    }
    selects = 0 if kept is None else 1  # index times width, by a constant
    assert count == {MultiplierKind.DSP: selects + 1, MultiplierKind.LUT: selects}


@pytest.mark.parametrize("act", [ActType(bits=8, signed=False), ActType(bits=8, signed=True)])
def test_two_filters_share_one_multiplier_of_an_ecp5(act: ActType) -> None:
    shape = PEShape(
        act=act, group=4, index_bits=2, weight_bits=4, multipliers=1, packed=2, acc_bits=20
    )
    text = to_verilog(PE(shape), "pe", Technology.ECP5)
    assert len(re.findall(r"^ *MULT18X18D ", text, re.MULTILINE)) == 1
