"""Output buffers that promise room before a pass starts."""

import random

import pytest
from amaranth.lib import data
from amaranth.sim import Simulator

from systolith.gateware import CreditFifo

PASSES = (2, 1, 3)


@pytest.mark.parametrize(
    ("depth", "passes", "message"),
    [
        (
            2,
            PASSES,
            "an output buffer must hold the 3 transfers of its longest pass, got a ",
        ),
        (2, (), r"each pass must write at least 1 transfer, got \(\)$"),
        (2, (1, 0), r"each pass must write at least 1 transfer, got \(1, 0\)$"),
    ],
)
def test_rejects_passes_that_cannot_fit(depth: int, passes: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        CreditFifo(data.ArrayLayout(8, 1), depth=depth, passes=passes)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("delay", [1, 5])
def test_promised_transfers_always_fit_and_keep_their_order(seed: int, delay: int) -> None:
    depth = 7
    dut = CreditFifo(data.ArrayLayout(8, 1), depth=depth, passes=PASSES)
    rng = random.Random(seed)
    sent: list[int] = []
    received: list[int] = []
    rooms: list[int] = []
    expected: list[bool] = []

    async def bench(ctx):  # type: ignore[no-untyped-def]
        due: list[int] = []
        number, promised, left, room = 0, PASSES[0], [0, 0], True
        for cycle in range(400):
            rooms.append(ctx.get(dut.room))
            expected.append(room)
            ready, start = rng.random() < 0.4, room and rng.random() < 0.7
            ctx.set(dut.o.ready, ready)
            ctx.set(dut.start, start)
            if start:
                due += [cycle + delay + extra for extra in range(PASSES[number % len(PASSES)])]
                number += 1
            writing = bool(due) and due[0] <= cycle
            ctx.set(dut.write, writing)
            if writing:
                due.pop(0)
                sent.append(rng.randrange(256))
                ctx.set(dut.payload, [sent[-1]])
            if start or not room:
                room = depth - promised + left[-2] >= max(PASSES)
                promised += PASSES[number % len(PASSES)] if room else 0
            if ready and ctx.get(dut.o.valid):
                received.append(ctx.get(dut.o.payload[0]))
            left.append(len(received))
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert len(received) > 50
    assert received == sent[: len(received)]
    assert rooms == expected, "room is given as soon as there is some, and never earlier"
    assert 0 in rooms[2:]
