"""Counters of frames, cycles and stalls, against a model with a complete history."""

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest

from systolith.gateware.shell import Activity, FrameJoin, Watchdog
from tests.support.stream_bench import simulate

FRAMES = 6


@dataclass
class Frames:
    """History of frames; each takes a few cycles to enter."""

    outputs: int
    begun: list[int] = field(default_factory=list)
    ended: int = 0
    left: list[list[int]] = field(default_factory=list)
    """Cycles, by output."""

    def done(self) -> list[int]:
        """Cycle in which each frame left through its slowest output."""
        return [max(cycles) for cycles in zip(*self.left, strict=False)]

    def latencies(self) -> set[int]:
        """Latencies of all frames that have left."""
        return {last - first + 1 for first, last in zip(self.begun, self.done(), strict=False)}

    def choose(self, rng: random.Random, cycle: int, busy: float) -> dict[str, int]:
        """Events of a cycle: a frame begins, it ends, outputs deliver ended ones."""
        inside = len(self.begun) - self.ended
        ends = inside and rng.random() < 0.3
        left = [
            n for n in range(self.outputs) if len(self.left[n]) < self.ended and rng.random() < busy
        ]
        begins = not inside and len(self.begun) - len(self.done()) < FRAMES and rng.random() < 0.5
        for number in left:
            self.left[number].append(cycle)
        self.ended += bool(ends)
        if begins:
            self.begun.append(cycle)
        return {"begun": begins, "ended": bool(ends), "left": sum(1 << n for n in left)}


@pytest.mark.parametrize("busy", [0.02, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("outputs", [1, 2, 3])
def test_every_counter_counts_what_happened(outputs: int, busy: float) -> None:
    dut, rng = Activity(outputs, FRAMES), random.Random(outputs)
    frames, totals = Frames(outputs, left=[[] for _ in range(outputs)]), Counter[str]()

    async def bench(ctx: Any) -> None:
        for cycle in range(1200):
            done = frames.done()
            assert ctx.get(dut.cycles) == cycle
            assert ctx.get(dut.frames_in) == frames.ended
            assert ctx.get(dut.frames_out) == len(done)
            assert ctx.get(dut.busy) == (len(frames.begun) > len(done))
            assert ctx.get(dut.interval) == (done[-1] - done[-2] if len(done) > 1 else 0)
            assert ctx.get(dut.latency) in (frames.latencies() or {0})
            for name in ("input_stalls", "output_stalls"):
                assert ctx.get(getattr(dut, name)) == totals[name]
            events = frames.choose(rng, cycle, busy)
            events |= {"waiting": rng.randrange(2), "blocked": rng.randrange(1 << outputs)}
            totals["input_stalls"] += events["waiting"]
            totals["output_stalls"] += events["blocked"] > 0
            for name, value in events.items():
                ctx.set(getattr(dut, name), value)
            await ctx.tick()

    simulate(dut, bench)
    assert len(frames.done()) > 10


def test_the_latency_is_that_of_the_frame_that_was_begun() -> None:
    """Of three frames in flight the first is measured, then the next to start: the fourth."""
    dut = Activity(1, FRAMES)
    begins, leaves = {0, 3, 4, 20}, {9, 17, 18, 40}
    shown = {10: 10, 39: 10, 41: 21}

    async def bench(ctx: Any) -> None:
        for cycle in range(42):
            assert ctx.get(dut.latency) == shown.get(cycle, ctx.get(dut.latency))
            ctx.set(dut.begun, cycle in begins)
            ctx.set(dut.left, cycle in leaves)
            await ctx.tick()

    simulate(dut, bench)


def test_a_frame_has_left_with_the_slowest_output_however_far_the_others_are() -> None:
    dut = FrameJoin(2, FRAMES)

    async def bench(ctx: Any) -> None:
        for left in [0b01] * FRAMES + [0b10] * FRAMES + [0b11, 0b00]:
            ctx.set(dut.left, left)
            assert ctx.get(dut.done) == left >> 1
            await ctx.tick()

    simulate(dut, bench)


@pytest.mark.parametrize("limit", [0, 1, 2, 5])
def test_a_watchdog_expires_after_its_limit_and_only_in_a_row(limit: int) -> None:
    dut, rng = Watchdog(), random.Random(limit)

    async def bench(ctx: Any) -> None:
        lasted = 0
        ctx.set(dut.limit, limit)
        for _ in range(400):
            assert ctx.get(dut.expired) == (0 < limit <= lasted)
            condition = rng.random() < 0.8
            ctx.set(dut.condition, condition)
            await ctx.tick()
            lasted = lasted + 1 if condition else 0

    simulate(dut, bench)
