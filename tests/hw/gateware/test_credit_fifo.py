"""Credits: room is promised before work starts."""

import random

import pytest
from amaranth.lib import data
from amaranth.sim import Simulator

from systolith.gateware import CreditFifo


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("delay", [1, 5])
def test_reserved_transfers_always_fit_and_keep_their_order(seed: int, delay: int) -> None:
    depth, most = 6, 2
    dut = CreditFifo(data.ArrayLayout(8, 1), depth=depth, most=most)
    rng = random.Random(seed)
    sent: list[int] = []
    received: list[int] = []

    async def bench(ctx):  # type: ignore[no-untyped-def]
        due: list[int] = []
        for cycle in range(300):
            ready = rng.random() < 0.4
            ctx.set(dut.o.ready, ready)
            reserve = rng.randrange(most + 1) if ctx.get(dut.room) else 0
            ctx.set(dut.reserve, reserve)
            due += [cycle + delay + extra for extra in range(reserve)]
            writing = bool(due) and due[0] <= cycle
            ctx.set(dut.write, writing)
            if writing:
                due.pop(0)
                sent.append(rng.randrange(256))
                ctx.set(dut.payload, [sent[-1]])
            if ready and ctx.get(dut.o.valid):
                received.append(ctx.get(dut.o.payload[0]))
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert len(received) > 50
    assert received == sent[: len(received)]
    assert len(sent) - len(received) <= depth


def test_room_is_refused_when_all_is_promised() -> None:
    dut = CreditFifo(data.ArrayLayout(8, 1), depth=3, most=2)
    rooms = []

    async def bench(ctx):  # type: ignore[no-untyped-def]
        ctx.set(dut.reserve, 2)
        rooms.append(ctx.get(dut.room))
        await ctx.tick()
        ctx.set(dut.reserve, 0)
        rooms.append(ctx.get(dut.room))

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert rooms == [1, 0]
