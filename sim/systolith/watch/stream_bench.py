"""The cocotb bench: drives one design, watches all its streams and logs them.

It runs inside the simulator, around the module that :mod:`systolith.bench.wrapper` writes. It has
no reference: :mod:`systolith.verify` compares the log afterwards.
"""

from pathlib import Path
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, FallingEdge

from systolith.watch.stream_job import StreamJob, StreamLog, StreamRule, WordArray

__all__ = ["Driver", "Monitor", "Observer", "stream_bench"]

CYCLE_BITS = 48
POWER_UP_CYCLES = 4
EXTRA_TRANSFERS = 16
LEAST_DRAIN_CYCLES = 256


class Driver:
    """Offers payloads at the input; `gap` of the wrapper decides in which cycle.

    Parameters
    ----------
    dut
        The wrapper.
    words : array of uint32, shape (transfers, words)
        Payloads.
    endless : bool
        Start again after the last payload.
    """

    def __init__(self, dut: Any, words: WordArray, *, endless: bool) -> None:
        self._payload, self._valid = dut.next_payload, dut.next_valid
        self._words = np.ascontiguousarray(words, dtype="<u4")
        self._width = len(dut.next_payload)
        self._endless = endless
        self._next = 0

    def offer_next(self) -> None:
        """Offer the next payload, or none after the last."""
        if self._next == len(self._words):
            if not self._endless:
                self._valid.value = 0
                return
            self._next = 0
        self._payload.value = int.from_bytes(self._words[self._next].tobytes(), "little")
        self._valid.value = 1
        self._next += 1


class Monitor:
    """Collects the transfers of one stream.

    Parameters
    ----------
    payload
        Handle of the last payload in the wrapper's monitor.
    width : int
        Width of the payload in bits.
    expected : int, optional
        Number of transfers; None for no end.
    """

    def __init__(self, payload: Any, width: int, expected: int | None) -> None:
        self._payload = payload
        self._size_bytes = -(-width // 32) * 4
        self._octets = bytearray()
        self.expected = expected
        self.cycles: list[int] = []
        self.extra = 0

    @property
    def complete(self) -> bool:
        """Whether all expected transfers have happened."""
        return self.expected is None or len(self.cycles) >= self.expected

    def collect(self, cycle: int) -> None:
        """Read the transfer of a cycle; transfers beyond the expected number are only counted."""
        if self.expected is not None and self.complete:
            self.extra += 1
            return
        payload = int(str(self._payload.value), 2)
        self._octets += payload.to_bytes(self._size_bytes, "little")
        self.cycles.append(cycle)

    @property
    def words(self) -> WordArray:
        """Payloads, shape (transfers, words)."""
        words = np.frombuffer(bytes(self._octets), dtype="<u4")
        return words.reshape(-1, self._size_bytes // 4)


class Observer:
    """Reads the wrapper's status, passes transfers to driver and monitors, records violations."""

    def __init__(self, dut: Any, job: StreamJob, driver: Driver) -> None:
        self._dut, self._job, self._driver = dut, job, driver
        self._count = len(job.layers)
        self._endless = job.withhold is not None
        self._monitors = [
            Monitor(getattr(dut, f"monitor_{i}").last, width, None if self._endless else expected)
            for i, (width, expected) in enumerate(zip(job.widths, job.expected, strict=True))
        ]
        self._violations: dict[tuple[int, StreamRule], tuple[int, str]] = {}
        self._last_transfer = 0
        self._drain = LEAST_DRAIN_CYCLES

    async def run(self) -> StreamLog:
        """Follow the simulation to its end."""
        status, strobe = self._dut.status, self._dut.strobe
        limit = self._job.watchdog_cycles
        ending = False
        while True:
            await strobe.value_change
            if not self._step(int(str(status.value), 2)):
                break
            if not ending and not self._endless and all(m.complete for m in self._monitors):
                ending = True
                self._dut.idle_limit.value = min(limit, self._drain)
        return StreamLog(
            words=tuple(monitor.words for monitor in self._monitors),
            cycles=tuple(np.array(m.cycles, dtype=np.int64) for m in self._monitors),
            violations=tuple(
                (stream, rule.name, cycle, detail)
                for (stream, rule), (cycle, detail) in self._violations.items()
            ),
            waited=self._waited(),
        )

    def _waited(self) -> tuple[bool, ...]:
        """Return for each stream whether the simulation showed that valid rises without ready.

        Either valid rose first; or there were transfers although ready never rose before valid. In
        that case ready waits for valid, as at a consumer of two streams at a time.
        """
        return tuple(map(self._rises_alone, range(self._count)))

    def _rises_alone(self, index: int) -> bool:
        signals = getattr(self._dut, f"monitor_{index}")
        if str(signals.waited.value) == "1":
            return True
        return bool(self._monitors[index].cycles) and str(signals.eager.value) == "0"

    def _step(self, status: int) -> bool:
        """Process one status. Returns whether the simulation continues."""
        cycle = status & ((1 << CYCLE_BITS) - 1)
        status >>= CYCLE_BITS
        everywhere = (1 << self._count) - 1
        ready, valid, transfer, changed, dropped = (
            status >> index * self._count & everywhere for index in range(5)
        )
        if transfer & 1:
            self._driver.offer_next()
        for index, monitor in enumerate(self._monitors):
            if transfer >> index & 1:
                monitor.collect(cycle)
                if monitor.extra:
                    detail = f"{monitor.expected} transfers were expected"
                    self._break(index, StreamRule.NO_EXTRA_TRANSFER, cycle, detail)
            if dropped >> index & 1:
                self._break(index, StreamRule.VALID_HOLDS, cycle, "")
            if changed >> index & 1:
                self._break(index, StreamRule.PAYLOAD_HOLDS, cycle, "")
        if transfer:
            self._drain = max(self._drain, 2 * (cycle - self._last_transfer))
            self._last_transfer = cycle
        if status >> 5 * self._count:
            self._judge_silence(cycle, valid, ready)
            return False
        return sum(monitor.extra for monitor in self._monitors) < EXTRA_TRANSFERS

    def _judge_silence(self, cycle: int, valid: int, ready: int) -> None:
        """Judge why all streams are idle: the end, a hang, or a withheld ready."""
        incomplete = [i for i, monitor in enumerate(self._monitors) if not monitor.complete]
        if self._job.withhold is not None:
            detail = "its consumer was not ready, and it never became valid"
            withheld = self._count - len(self._job.seeds) + 1 + self._job.withhold
            for index in range(self._count):
                stuck = not (valid | ready) >> index & 1
                if stuck and (index == withheld or not self._waited()[index]):
                    self._break(index, StreamRule.VALID_RISES_ALONE, cycle, detail)
        elif incomplete:
            blocked = [i for i in range(self._count) if (valid & ~ready) >> i & 1]
            after = [i for i in incomplete if i > max(blocked, default=-1)]
            stopped = (after or incomplete[-1:])[0]
            self._break(stopped, StreamRule.NO_HANG, cycle, self._situation(valid, ready))

    def _situation(self, valid: int, ready: int) -> str:
        parts = [
            f"'{layer}' {len(monitor.cycles)} of {monitor.expected} transfers "
            f"(valid={valid >> i & 1}, ready={ready >> i & 1})"
            for i, (layer, monitor) in enumerate(zip(self._job.layers, self._monitors, strict=True))
        ]
        return f"no transfer for {self._job.watchdog_cycles} cycles; {', '.join(parts)}"

    def _break(self, stream: int, rule: StreamRule, cycle: int, detail: str) -> None:
        self._violations.setdefault((stream, rule), (cycle, detail))


async def _reset(dut: Any, cycles: int) -> None:
    """Hold reset for a number of rising clock edges and release it before the next."""
    dut.rst.value = 1
    await ClockCycles(dut.clk, cycles)
    await FallingEdge(dut.clk)
    dut.rst.value = 0


@cocotb.test()
async def stream_bench(dut: Any) -> None:
    """Run the job that the plusarg ``job`` names; fails only on unexpected errors."""
    job = StreamJob.load(Path(str(cocotb.plusargs["job"])))
    for name, value in zip(
        ("gap_begin", "gap_end", "stall_begin", "stall_end"), job.thresholds, strict=True
    ):
        getattr(dut, name).value = value
    gap_seed, *stall_seeds = job.seeds
    dut.gap_seed.value = gap_seed
    dut.stall_seed.value = sum(seed << 32 * number for number, seed in enumerate(stall_seeds))
    dut.idle_limit.value = job.watchdog_cycles
    dut.withhold.value = 0 if job.withhold is None else 1 << job.withhold
    dut.next_valid.value = 0
    Clock(dut.clk, 2, "step").start()
    await _reset(dut, POWER_UP_CYCLES)
    if job.reset_after:
        Driver(dut, np.load(job.payloads), endless=True).offer_next()
        await ClockCycles(dut.clk, job.reset_after)
        await FallingEdge(dut.clk)
        await _reset(dut, 1)
    driver = Driver(dut, np.load(job.payloads), endless=job.withhold is not None)
    driver.offer_next()
    log = await Observer(dut, job, driver).run()
    log.save(Path(job.log))
