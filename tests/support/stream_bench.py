"""One clock, and a producer and a consumer for one stream component in Amaranth's simulator."""

import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Cat, Elaboratable, Value
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

    Options are those of :meth:`StreamBench.run`.
    """
    (run,) = run_streams(dut, inputs, [(dut.o, outputs)], **options)  # type: ignore[attr-defined]
    return run


def run_streams(
    dut: Elaboratable,
    inputs: Sequence[int],
    sinks: Sequence[tuple[stream.Interface, int]],
    **options: Any,
) -> list[Run]:
    """Send raw payloads through ``dut.i`` and collect the transfers of each sink.

    Options are those of :meth:`StreamBench.run`.
    """
    bench = StreamBench(dut, [sink for sink, _ in sinks])
    return bench.run(inputs, [count for _, count in sinks], **options)


@dataclass(frozen=True, kw_only=True)
class _Job:
    """What a run sends, awaits and collects."""

    inputs: Sequence[int]
    counts: Sequence[int]
    gap: float
    stall: float
    rng: random.Random
    watchdog: int
    extra: int
    before: Callable[[Any], Awaitable[None]] | None
    runs: list[Run]


class StreamBench:
    """A component that is elaborated once and simulated from reset as often as wanted.

    Elaboration takes longer than a few frames of a small design.
    """

    def __init__(self, dut: Elaboratable, sinks: Sequence[stream.Interface]) -> None:
        self._source = dut.i  # type: ignore[attr-defined]
        self._sinks = sinks
        self._job: _Job | None = None
        self._ran = False
        self._simulator = Simulator(dut)
        self._simulator.add_clock(1e-6)
        self._simulator.add_testbench(self._bench)

    def run(
        self,
        inputs: Sequence[int],
        counts: Sequence[int],
        *,
        gap: float = 0.0,
        stall: float = 0.0,
        seed: int = 0,
        watchdog: int = 20_000,
        extra: int = 20,
        before: Callable[[Any], Awaitable[None]] | None = None,
    ) -> list[Run]:
        """Send raw payloads and collect as many transfers of each sink as `counts` says.

        The producer pauses with probability `gap`, each consumer with probability `stall`, each
        cycle. Fails if the component hangs, drops `valid` or changes its payload under
        back-pressure, or offers more than it should in `extra` further cycles. What `before` does
        comes first.
        """
        runs = [Run([], [], []) for _ in counts]
        rng = random.Random(f"{seed} {gap} {stall}")
        self._job = _Job(
            inputs=inputs,
            counts=counts,
            gap=gap,
            stall=stall,
            rng=rng,
            watchdog=watchdog,
            extra=extra,
            before=before,
            runs=runs,
        )
        if self._ran:
            self._simulator.reset()
        self._ran = True
        self._simulator.run()
        for run, count in zip(runs, counts, strict=True):
            assert len(run.outputs) == count, f"{len(run.outputs)} outputs instead of {count}"
            run.input_cycles[:] = runs[0].input_cycles
        return runs

    async def _bench(self, ctx: Any) -> None:
        job, source, sinks = self._job, self._source, self._sinks
        assert job is not None, "only run() simulates"
        inputs, rng, runs = job.inputs, job.rng, job.runs
        # All inputs are set at once, and only when they change: the design is evaluated each time.
        payload = _payload(source)
        driven = Cat(source.valid, payload, *(sink.ready for sink in sinks))
        answers = Cat(source.ready, *(sink.valid for sink in sinks))
        payloads = [_payload(sink) for sink in sinks]
        mask, first_ready = (1 << len(payload)) - 1, 1 + len(payload)
        pending: list[list[int]] = [[] for _ in sinks]
        sent, offering, cycle, idle, after = 0, False, 0, 0, 0
        word, last = 0, -1
        if job.before is not None:
            await job.before(ctx)
        while after < job.extra:
            if sent < len(inputs) and not offering and rng.random() >= job.gap:
                offering, word = True, inputs[sent] & mask
            ready = [rng.random() >= job.stall for _ in sinks]
            levels = int(offering) | word << 1
            for number, taken in enumerate(ready):
                levels |= int(taken) << first_ready + number
            if levels != last:
                ctx.set(driven, levels)
                last = levels
            answer = ctx.get(answers)
            idle += 1
            for number, (run, waiting) in enumerate(zip(runs, pending, strict=True)):
                if not answer >> 1 + number & 1:
                    assert not waiting, "valid fell before ready"
                    continue
                offered = ctx.get(payloads[number])
                assert not waiting or waiting[0] == offered, "payload changed under back-pressure"
                waiting[:] = [offered]
                if ready[number]:
                    run.outputs.append(offered)
                    run.output_cycles.append(cycle)
                    waiting.clear()
                    idle = 0
            if offering and answer & 1:
                runs[0].input_cycles.append(cycle)
                sent, offering, idle = sent + 1, False, 0
            missing = [
                count - len(run.outputs) for run, count in zip(runs, job.counts, strict=True)
            ]
            assert idle < job.watchdog, f"hangs after {sent} inputs, {missing} outputs are missing"
            after += max(missing) <= 0
            cycle += 1
            await ctx.tick()


def _payload(interface: stream.Interface) -> Value:
    return data.View.as_value(interface.payload)
