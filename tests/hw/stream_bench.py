"""A producer and a consumer for one stream component in Amaranth's simulator."""

import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from amaranth.hdl import Elaboratable
from amaranth.lib import data
from amaranth.sim import Simulator


@dataclass(frozen=True)
class Run:
    """Transfers out, and the cycles of all transfers; cycle 0 is the first out of reset."""

    outputs: list[int]
    input_cycles: list[int]
    output_cycles: list[int]


def run_stream(
    dut: Elaboratable,
    inputs: Sequence[int],
    outputs: int,
    *,
    gap: float = 0.0,
    stall: float = 0.0,
    seed: int = 0,
    watchdog: int = 20_000,
    extra: int = 20,
    before: Callable[[object], Awaitable[None]] | None = None,
) -> Run:
    """Send raw payloads through ``dut.i`` and collect `outputs` transfers from ``dut.o``.

    The producer pauses with probability `gap`, the consumer with probability `stall`, each cycle.
    Fails if the component hangs, drops `valid` or changes its payload under back-pressure, or
    offers more than it should in `extra` further cycles. What `before` does comes first.
    """
    rng = random.Random(f"{seed} {gap} {stall}")
    run = Run([], [], [])
    pending: list[int] = []

    def payload(interface: object) -> object:
        return data.View.as_value(interface.payload)  # type: ignore[attr-defined]

    async def bench(ctx: object) -> None:
        get: Callable[[object], int] = ctx.get  # type: ignore[attr-defined]
        put: Callable[[object, int], None] = ctx.set  # type: ignore[attr-defined]
        sent, offering, cycle, idle, after = 0, False, 0, 0, 0
        if before is not None:
            await before(ctx)
        while after < extra:
            if sent < len(inputs) and not offering and rng.random() >= gap:
                offering = True
            put(dut.i.valid, int(offering))  # type: ignore[attr-defined]
            if offering:
                put(payload(dut.i), inputs[sent])  # type: ignore[attr-defined]
            put(dut.o.ready, int(rng.random() >= stall))  # type: ignore[attr-defined]
            idle += 1
            if get(dut.o.valid):  # type: ignore[attr-defined]
                word = get(payload(dut.o))  # type: ignore[attr-defined]
                assert not pending or pending[0] == word, "payload changed under back-pressure"
                pending[:] = [word]
                if get(dut.o.ready):  # type: ignore[attr-defined]
                    run.outputs.append(word)
                    run.output_cycles.append(cycle)
                    pending.clear()
                    idle = 0
            else:
                assert not pending, "valid fell before ready"
            if offering and get(dut.i.ready):  # type: ignore[attr-defined]
                run.input_cycles.append(cycle)
                sent, offering, idle = sent + 1, False, 0
            assert idle < watchdog, f"hangs after {sent} inputs and {len(run.outputs)} outputs"
            after += len(run.outputs) >= outputs
            cycle += 1
            await ctx.tick()  # type: ignore[attr-defined]

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert len(run.outputs) == outputs, f"{len(run.outputs)} outputs instead of {outputs}"
    return run
