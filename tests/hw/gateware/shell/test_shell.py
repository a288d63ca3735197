"""The shell around a queue: registers with the largest number of frames in flight."""

import random
from typing import Any

import pytest
from amaranth import Cat, Module, Signal
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from systolith.gateware.shell import Shell, ShellConfig, StreamFormat
from systolith.network import ActType

WIDTH, TRANSFERS = 8, 2


class Halves(wiring.Component):
    """At each output, the second of every two transfers; much room inside."""

    i: stream.Interface

    def __init__(self, outputs: int) -> None:
        self.count = outputs
        shape = stream.Signature(data.ArrayLayout(WIDTH, 1))
        super().__init__({"i": In(shape)} | {f"o_{n}": Out(shape) for n in range(outputs)})

    @property
    def outputs(self) -> tuple[stream.Interface, ...]:
        return tuple(getattr(self, f"o_{n}") for n in range(self.count))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        queues = [fifo.SyncFIFO(width=WIDTH, depth=64) for _ in self.outputs]
        m.submodules += queues
        m.d.comb += self.i.ready.eq(Cat(queue.w_rdy for queue in queues).all())
        second = Signal()
        passes = self.i.valid & self.i.ready
        with m.If(passes):
            m.d.sync += second.eq(~second)
        for queue, output in zip(queues, self.outputs, strict=True):
            m.d.comb += [
                queue.w_data.eq(self.i.payload[0]),
                queue.w_en.eq(passes & second),
                output.payload[0].eq(queue.r_data),
                output.valid.eq(queue.r_rdy),
                queue.r_en.eq(output.ready),
            ]
        return m


def _config(outputs: int, most_frames: int) -> ShellConfig:
    act = ActType(bits=WIDTH, signed=False)
    return ShellConfig(
        version=(0, 1, 0),
        network_hash=0,
        input=StreamFormat(act=act, lanes=1, transfers=TRANSFERS),
        outputs=(StreamFormat(act=act, lanes=1, transfers=1),) * outputs,
        most_frames=most_frames,
    )


@pytest.mark.parametrize("most_frames", [1, 2, 3, 5])
@pytest.mark.parametrize("outputs", [1, 2])
def test_no_counter_runs_over_however_long_a_consumer_waits(outputs: int, most_frames: int) -> None:
    dut = Shell(Halves(outputs), _config(outputs, most_frames))
    addresses = {register.name: register.address // 4 for register in dut.registers}
    rng, frames = random.Random(0), 20
    received: list[list[int]] = [[] for _ in range(outputs)]

    async def read(ctx: Any, name: str) -> int:
        ctx.set(dut.request.payload, {"address": addresses[name]})
        ctx.set(dut.request.valid, 1)
        await ctx.tick()
        ctx.set(dut.request.valid, 0)
        assert ctx.get(dut.response.valid)
        return int(ctx.get(dut.response.payload.data))

    async def produce(ctx: Any) -> None:
        for number in range(frames * TRANSFERS):
            ctx.set(dut.i.payload, {"data": number, "last": number % TRANSFERS == 1})
            ctx.set(dut.i.valid, 1)
            await ctx.tick().until(dut.i.ready)
            ctx.set(dut.i.valid, 0)

    async def consume(ctx: Any) -> None:
        """Take all outputs at once, except the last one: after 200 cycles."""
        for cycle in range(600):
            for number, output in enumerate(dut.outputs):
                free = number < outputs - 1 or cycle >= 200
                ctx.set(output.ready, free and rng.random() < 0.7)
                if ctx.get(output.valid) and ctx.get(output.ready):
                    received[number].append(ctx.get(output.payload.data))
            await ctx.tick()

    async def look(ctx: Any) -> None:
        await ctx.tick().repeat(150)
        assert await read(ctx, "STATUS") & 1
        assert await read(ctx, "FRAMES_OUT") == 0
        await ctx.tick().repeat(440)
        assert await read(ctx, "STATUS") & 1 == 0
        assert await read(ctx, "FRAMES_IN") == await read(ctx, "FRAMES_OUT") == frames

    simulator = Simulator(dut)
    for domain in ("sync", "control"):
        simulator.add_clock(1e-6, domain=domain)
    for bench in (produce, consume, look):
        simulator.add_testbench(bench)
    simulator.run()
    assert received == [list(range(1, frames * TRANSFERS, TRANSFERS))] * outputs
