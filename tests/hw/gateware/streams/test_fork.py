"""Forks: values, latency, room."""

import random

import pytest
from amaranth.sim import Simulator

from systolith.gateware import Fork
from systolith.network import ActType, Tensor
from systolith.plan import ForkPlan
from systolith.plan.streams.fork_plan import DEEP

TENSOR = Tensor((2, 4, 4), ActType(bits=8, signed=False))


def _fork(*depths: int) -> ForkPlan:
    return ForkPlan(name="fork", output=TENSOR, lanes=1, depths=depths)


@pytest.mark.parametrize("depths", [(2, 2), (3, DEEP), (DEEP - 1, DEEP + 1, 2), (DEEP,)])
@pytest.mark.parametrize(("gap", "stall"), [(0.0, 0.0), (0.4, 0.4), (0.0, 0.8), (0.8, 0.0)])
def test_every_reader_gets_every_transfer_in_order(
    depths: tuple[int, ...], gap: float, stall: float
) -> None:
    rng = random.Random(f"{depths} {gap} {stall}")
    sent = [rng.randrange(256) for _ in range(200)]
    got: list[list[int]] = [[] for _ in depths]
    dut = Fork(_fork(*depths))

    async def bench(ctx):  # type: ignore[no-untyped-def]
        offered, after = 0, 0
        for _ in range(4000):
            offering = offered < len(sent) and rng.random() >= gap
            ctx.set(dut.i.valid, offering)
            ctx.set(dut.i.payload, [sent[offered] if offering else rng.randrange(256)])
            for reader, output in zip(got, dut.o, strict=True):
                ctx.set(output.ready, rng.random() >= stall)
                if ctx.get(output.valid) and ctx.get(output.ready):
                    reader.append(ctx.get(output.payload[0]))
            offered += offering and ctx.get(dut.i.ready)
            after += all(len(reader) == len(sent) for reader in got)
            if after == 20:  # nothing comes twice
                break
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert got == [sent] * len(depths)


@pytest.mark.parametrize("depth", [2, 5, DEEP - 1, DEEP, DEEP + 3])
def test_room_and_latency_are_as_planned(depth: int) -> None:
    plan = _fork(depth)
    dut = Fork(plan)
    (latency,), (room_latency,) = plan.latencies, plan.room_latencies
    offered_at, taken = [], 0

    async def bench(ctx):  # type: ignore[no-untyped-def]
        nonlocal taken
        ctx.set(dut.i.valid, 1)
        for cycle in range(2 * depth + 4):
            offered_at.append(cycle) if ctx.get(dut.o[0].valid) else None
            taken += ctx.get(dut.i.ready)
            await ctx.tick()
        ctx.set(dut.o[0].ready, 1)
        for _ in range(room_latency):
            assert not ctx.get(dut.i.ready)
            await ctx.tick()
        assert ctx.get(dut.i.ready)

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert offered_at[0] == latency
    assert taken == depth
