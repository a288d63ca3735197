"""The stream register."""

from typing import Any

import pytest
from amaranth import ResetInserter, Signal

from systolith.gateware.shell import RegisterSlice, packet
from tests.support.stream_bench import run_stream, simulate

PAYLOADS = [(number * 37 + 5) % 256 for number in range(60)]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("gap", [0.0, 0.5])
@pytest.mark.parametrize("stall", [0.0, 0.3, 0.8])
def test_nothing_is_lost_and_order_is_kept(gap: float, stall: float, seed: int) -> None:
    run = run_stream(
        RegisterSlice(packet(7)), PAYLOADS, len(PAYLOADS), gap=gap, stall=stall, seed=seed
    )
    assert run.outputs == PAYLOADS


def test_a_transfer_every_cycle_after_the_documented_latency() -> None:
    run = run_stream(RegisterSlice(packet(7)), PAYLOADS, len(PAYLOADS))
    assert run.input_cycles == list(range(1, 61))  # not in the cycle after reset
    assert run.output_cycles == [cycle + RegisterSlice.LATENCY for cycle in run.input_cycles]


def test_neither_side_sees_the_other_within_a_cycle() -> None:
    dut = RegisterSlice(packet(7))

    async def bench(ctx: Any) -> None:
        await ctx.tick()
        ctx.set(dut.i.valid, 1)
        assert not ctx.get(dut.o.valid)
        await ctx.tick()
        assert ctx.get(dut.o.valid)  # alone, without ready
        await ctx.tick()
        assert not ctx.get(dut.i.ready)
        ctx.set(dut.o.ready, 1)
        assert not ctx.get(dut.i.ready)
        await ctx.tick()
        assert ctx.get(dut.i.ready)

    simulate(dut, bench)


def test_nothing_is_taken_until_the_cycle_after_reset_and_nothing_is_made_up() -> None:
    register, reset = RegisterSlice(packet(7)), Signal()
    dut, i, o = ResetInserter(reset)(register), register.i, register.o

    async def bench(ctx: Any) -> None:
        for held in (1, 3):
            ctx.set(o.ready, 0)
            ctx.set(i.valid, 1)
            await ctx.tick().repeat(5)
            assert ctx.get(o.valid)
            ctx.set(reset, 1)
            for _ in range(held):
                await ctx.tick()
                assert not ctx.get(i.ready) and not ctx.get(o.valid)
            ctx.set(reset, 0)
            assert not ctx.get(i.ready)
            await ctx.tick()
            assert ctx.get(i.ready) and not ctx.get(o.valid)
            ctx.set(i.valid, 0)
            await ctx.tick()
            assert not ctx.get(o.valid)

    simulate(dut, bench)
