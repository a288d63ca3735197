"""One clock, and a producer and a consumer for one stream component in Amaranth's simulator."""

import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Elaboratable
from amaranth.lib import data, stream
from amaranth.sim import Simulator


def simulate(dut: Elaboratable, bench: object) -> None:
    """Run one test bench with one clock."""
    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


@dataclass(frozen=True)
class Run:
    """Transfers out, and the cycles of all transfers; cycle 0 is the first out of reset."""

    outputs: list[int]
    input_cycles: list[int]
    output_cycles: list[int]


def run_stream(dut: Elaboratable, inputs: Sequence[int], outputs: int, **options: Any) -> Run:
    """Send raw payloads through ``dut.i`` and collect `outputs` transfers from ``dut.o``.

    Options are those of :func:`run_streams`.
    """
    (run,) = run_streams(dut, inputs, [(dut.o, outputs)], **options)  # type: ignore[attr-defined]
    return run


def run_streams(
    dut: Elaboratable,
    inputs: Sequence[int],
    sinks: Sequence[tuple[stream.Interface, int]],
    *,
    gap: float = 0.0,
    stall: float = 0.0,
    seed: int = 0,
    watchdog: int = 20_000,
    extra: int = 20,
    before: Callable[[Any], Awaitable[None]] | None = None,
) -> list[Run]:
    """Send raw payloads through ``dut.i`` and collect the transfers of each sink.

    The producer pauses with probability `gap`, each consumer with probability `stall`, each cycle.
    Fails if the component hangs, drops `valid` or changes its payload under back-pressure, or
    offers more than it should in `extra` further cycles. What `before` does comes first.
    """
    rng = random.Random(f"{seed} {gap} {stall}")
    runs = [Run([], [], []) for _ in sinks]
    pending: list[list[int]] = [[] for _ in sinks]

    def payload(interface: stream.Interface) -> object:
        return data.View.as_value(interface.payload)

    async def bench(ctx: Any) -> None:
        source = dut.i  # type: ignore[attr-defined]
        sent, offering, cycle, idle, after = 0, False, 0, 0, 0
        if before is not None:
            await before(ctx)
        while after < extra:
            if sent < len(inputs) and not offering and rng.random() >= gap:
                offering = True
            ctx.set(source.valid, int(offering))
            if offering:
                ctx.set(payload(source), inputs[sent])
            for sink, _ in sinks:
                ctx.set(sink.ready, int(rng.random() >= stall))
            idle += 1
            for (sink, _), run, waiting in zip(sinks, runs, pending, strict=True):
                if not ctx.get(sink.valid):
                    assert not waiting, "valid fell before ready"
                    continue
                word = ctx.get(payload(sink))
                assert not waiting or waiting[0] == word, "payload changed under back-pressure"
                waiting[:] = [word]
                if ctx.get(sink.ready):
                    run.outputs.append(word)
                    run.output_cycles.append(cycle)
                    waiting.clear()
                    idle = 0
            if offering and ctx.get(source.ready):
                runs[0].input_cycles.append(cycle)
                sent, offering, idle = sent + 1, False, 0
            missing = [count - len(r.outputs) for r, (_, count) in zip(runs, sinks, strict=True)]
            assert idle < watchdog, f"hangs after {sent} inputs, {missing} outputs are missing"
            after += max(missing) <= 0
            cycle += 1
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    for run, (_, count) in zip(runs, sinks, strict=True):
        assert len(run.outputs) == count, f"{len(run.outputs)} outputs instead of {count}"
        run.input_cycles[:] = runs[0].input_cycles
    return runs
