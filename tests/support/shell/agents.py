"""Producers, consumers and hosts for a shell in cocotb: random pauses everywhere."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge
from cocotbext.axi import (
    AxiLiteBus,
    AxiLiteMaster,
    AxiResp,
    AxiStreamBus,
    AxiStreamFrame,
    AxiStreamSink,
    AxiStreamSource,
)
from cocotbext.wishbone.driver import WBOp, WishboneMaster

from systolith.gateware.shell import register_map
from tests.support.shell.job import Results, load_job

PAUSE = 0.4
WISHBONE_SIGNALS = {
    "cyc": "cyc_i", "stb": "stb_i", "we": "we_i", "adr": "adr_i", "sel": "sel_i",
    "datwr": "dat_i", "datrd": "dat_o", "ack": "ack_o", "err": "err_o",
}  # fmt: skip


class BusError(Exception):
    """The register file answered with an error."""


class AxiLiteHost:
    """Registers over AXI4-Lite."""

    def __init__(self, dut: Any, bench: "Bench") -> None:
        self._master = AxiLiteMaster(
            AxiLiteBus.from_prefix(dut, "s_axil"), dut.aclk, dut.aresetn, reset_active_level=False
        )
        write, read = self._master.write_if, self._master.read_if
        for channel in (
            write.aw_channel, write.w_channel, write.b_channel, read.ar_channel, read.r_channel,
        ):  # fmt: skip
            bench.paused.append(channel)
        bench.answers += [write.b_channel, read.r_channel]

    async def read(self, address: int) -> int:
        answer = await self._master.read(address, 4)
        if answer.resp is not AxiResp.OKAY:
            assert answer.resp is AxiResp.SLVERR
            raise BusError
        return int.from_bytes(answer.data, "little")

    async def write(self, address: int, data: bytes) -> None:
        """Write some bytes; a part of a word has some strobes."""
        answer = await self._master.write(address, data)
        if answer.resp is not AxiResp.OKAY:
            assert answer.resp is AxiResp.SLVERR
            raise BusError


class WishboneHost:
    """Registers over Wishbone, by a classic and a pipelined initiator in turns."""

    def __init__(self, dut: Any, bench: "Bench") -> None:
        classic, pipelined = WISHBONE_SIGNALS, WISHBONE_SIGNALS | {"stall": "stall_o"}
        self._masters = [
            WishboneMaster(dut, "wb", dut.wb_clk_i, width=32, timeout=200, signals_dict=signals)
            for signals in (classic, pipelined)
        ]
        self._rng = bench.rng

    async def _cycle(self, **operation: Any) -> int:
        idle = self._rng.choice((0, 0, 0, 1, 3))
        master = self._rng.choice(self._masters)
        (answer,) = await master.send_cycle([WBOp(**operation, idle=idle, acktimeout=200)])
        if answer.ack != 1:
            assert answer.ack == 2
            raise BusError
        return int(answer.datrd)

    async def read(self, address: int) -> int:
        return await self._cycle(adr=address)

    async def write(self, address: int, data: bytes) -> None:
        """Write at most a word."""
        for offset in range(0, len(data), 4):
            part = data[offset : offset + 4]
            first = address % 4
            await self._cycle(
                adr=address + offset,
                dat=int.from_bytes(part, "little") << 8 * first,
                sel=((1 << len(part)) - 1) << first,
            )


class Bench:
    """A shell with a producer, a consumer at each output, and a host."""

    def __init__(self, dut: Any) -> None:
        self.job = load_job(Path(str(cocotb.plusargs["job"])))
        self.dut = dut
        self.rng = random.Random(1)
        self.paused: list[Any] = []
        self.answers: list[Any] = []
        """Those who take answers of the bus."""
        if self.job.wishbone:
            self.clock, self.reset_port, self._active = dut.wb_clk_i, dut.wb_rst_i, 1
        else:
            self.clock, self.reset_port, self._active = dut.aclk, dut.aresetn, 0
        outputs = len(self.job.masks)
        prefixes = ["m_axis"] if outputs == 1 else [f"m_axis_{n}" for n in range(outputs)]
        reset = (self.clock, self.reset_port, bool(self._active))
        self.source = AxiStreamSource(AxiStreamBus.from_prefix(dut, "s_axis"), *reset)
        self.sinks = [AxiStreamSink(AxiStreamBus.from_prefix(dut, p), *reset) for p in prefixes]
        self.host = WishboneHost(dut, self) if self.job.wishbone else AxiLiteHost(dut, self)
        registers = register_map(outputs=outputs, reloadable=self.reloadable)
        self.registers = {r.name: r for r in registers}
        self.idle = {"LOADED"} if self.reloadable else set()
        """STATUS if nothing is under way."""
        self.bytes_per_transfer = len(self.job.images[0]) // self.job.transfers
        self.offering = [f"{prefix}_t" for prefix in prefixes]
        """Prefixes of the channels on which the shell offers."""
        self.silent = ["s_axis_tready", *(f"{prefix}valid" for prefix in self.offering)]
        """Signals that are 0 in reset."""
        if self.job.wishbone:
            self.silent += ["wb_ack_o", "wb_err_o"]
        else:
            self.offering += ["s_axil_b", "s_axil_r"]
            self.silent += [f"s_axil_{name}ready" for name in ("aw", "w", "ar")]
            self.silent += ["s_axil_bvalid", "s_axil_rvalid"]
        self.resetting = False
        self.answered = 0
        """Number of the clock edge at which the bus answered last."""

    @property
    def reloadable(self) -> bool:
        """Whether the design takes other weights."""
        return bool(self.job.own.load)

    async def start(self, *, pauses: bool = True) -> None:
        """Start the clock, pauses and checks; reset."""
        for agent in (self.source, *self.sinks, *self.paused) if pauses else ():
            agent.set_pause_generator(self._pauses())
        cocotb.start_soon(Clock(self.clock, 10, unit="ns").start())
        for prefix in self.offering:
            cocotb.start_soon(self._stays_until_taken(prefix))
        cocotb.start_soon(self._note_answers())
        await self.reset()

    def _pauses(self) -> Iterator[bool]:
        rng = random.Random(self.rng.random())
        while True:
            yield rng.random() < PAUSE

    async def reset(self, cycles: int = 3) -> None:
        """Reset by the port; the agents reset themselves. Meanwhile the shell is silent."""
        self.reset_port.value = self._active
        await RisingEdge(self.clock)
        for cycle in range(cycles):
            if cycle == cycles - 1:
                self.reset_port.value = 1 - self._active
            await RisingEdge(self.clock)
            loud = [name for name in self.silent if getattr(self.dut, name).value]
            assert not loud, f"1 in reset: {', '.join(loud)}"

    async def _note_answers(self) -> None:
        edges = 0
        signal = self.dut.wb_ack_o if self.job.wishbone else self.dut.s_axil_rvalid
        while True:
            await RisingEdge(self.clock)
            edges += 1
            if signal.value:
                self.answered = edges

    async def _stays_until_taken(self, prefix: str) -> None:
        """Check that an offered transfer stays until it is taken, except for resets."""
        valid, ready = (getattr(self.dut, f"{prefix}{name}") for name in ("valid", "ready"))
        names = [f"{prefix}{name}" for name in ("data", "last", "user", "resp")]
        parts = [getattr(self.dut, name) for name in names if hasattr(self.dut, name)]
        waiting: list[int] | None = None
        while True:
            await RisingEdge(self.clock)
            offered = [int(part.value) for part in parts] if valid.value else None
            if int(self.reset_port.value) == self._active or self.resetting:
                waiting = None
                continue
            assert waiting is None or waiting == offered, f"{prefix}: what was offered has changed"
            waiting = None if ready.value else offered

    async def wait(self, cycles: int) -> None:
        """Let time pass."""
        await ClockCycles(self.clock, cycles)

    def flush(self) -> None:
        """Let producer and consumers forget everything, as after a reset."""
        for agent in (self.source, *self.sinks):
            agent.assert_reset()
            agent.clear()

    async def soft_reset(self, *, source: bool = True) -> None:
        """Reset by register; consumers, and maybe the producer, wait and forget all."""
        agents = [self.source, *self.sinks] if source else self.sinks
        self.resetting = True
        for agent in agents:
            agent.assert_reset(True)
        await self.command("RESET")
        await self.wait(2)
        for agent in agents:
            agent.clear()
            agent.assert_reset(False)
        self.resetting = False

    async def command(self, field: str) -> None:
        """Write a 1 to a field of COMMAND."""
        await self.write("COMMAND", self.registers["COMMAND"].field(field).mask)

    async def read(self, name: str) -> int:
        """Read a register."""
        return await self.host.read(self.registers[name].address)

    async def write(self, name: str, value: int) -> None:
        """Write a register."""
        await self.host.write(self.registers[name].address, value.to_bytes(4, "little"))

    async def errors(self, *expected: str) -> None:
        """See which errors have happened; clear them one by one, which leaves the others."""
        left = set(expected)
        assert await self.bits("ERRORS") == left
        for name in expected:
            await self.write("ERRORS", self.registers["ERRORS"].field(name).mask)
            left.remove(name)
            assert await self.bits("ERRORS") == left

    async def bits(self, name: str) -> set[str]:
        """Names of the fields that are 1."""
        value = await self.read(name)
        return {field.name for field in self.registers[name].fields if value & field.mask}

    async def send(self, data: bytes) -> None:
        """Send a packet."""
        await self.source.send(AxiStreamFrame(data))

    def packet(self, transfers: int) -> bytes:
        """Random transfers."""
        return self.rng.randbytes(transfers * self.bytes_per_transfer)

    async def expect(self, results: Results, image: int | None, *, user: int = 0) -> None:
        """Receive the result of an image, or any result, at each output."""
        for number, sink in enumerate(self.sinks):
            frame = await sink.recv(compact=False)
            mask = self.job.masks[number]
            assert len(frame.tdata) == len(mask), f"{len(frame.tdata)} bytes, not {len(mask)}"
            last = [len(frame.tuser) - 1 - n for n in range(self._sink_bytes(sink))]
            assert [frame.tuser[n] for n in last] == [user] * len(last)
            assert not any(frame.tuser[: last[-1]])
            if image is not None:
                got = bytes(a & b for a, b in zip(frame.tdata, mask, strict=True))
                assert got == results.results[number][image], f"output {number}, image {image}"

    def _sink_bytes(self, sink: AxiStreamSink) -> int:
        return int(sink.byte_lanes)

    async def right(self, results: Results | None = None) -> None:
        """Send all images, and see that their results are right and nothing else comes."""
        for image in self.job.images:
            await self.send(image)
        for number in range(len(self.job.images)):
            await self.expect(results or self.job.own, number)
        await self.nothing_comes()

    async def nothing_comes(self) -> None:
        """See that no sink has or gets anything."""
        await self.wait(50)
        for sink in self.sinks:
            assert sink.empty() and not sink.active

    async def load(self, data: bytes, *, start: bool = True) -> None:
        """Load parameters."""
        if start:
            await self.command("LOAD_START")
        for offset in range(0, len(data), 4):
            await self.host.write(self.registers["LOAD_DATA"].address, data[offset : offset + 4])
