"""The stream register."""

import pytest
from amaranth.sim import Simulator

from systolith.gateware.shell import RegisterSlice, packet
from tests.hw.stream_bench import run_stream

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
    assert run.input_cycles == list(range(60))
    assert run.output_cycles == [cycle + RegisterSlice.LATENCY for cycle in range(60)]


def test_neither_side_sees_the_other_within_a_cycle() -> None:
    dut = RegisterSlice(packet(7))

    async def bench(ctx):  # type: ignore[no-untyped-def]
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

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
