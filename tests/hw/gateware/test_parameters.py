"""Parameter memories, and the chain that loads them."""

import random
from collections.abc import Sequence

import pytest
from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.gateware.parameters import (
    LOAD_BUS,
    ParameterMemory,
    ParameterTable,
    connect_load_chain,
    load_ports,
)
from tests.support.stream_bench import simulate

WIDTHS_AND_DEPTHS = [(1, 1), (8, 3), (9, 4), (31, 2), (17, 5)]


def _tables(rng: random.Random) -> list[ParameterTable]:
    return [
        ParameterTable(
            name=f"table_{number}",
            width=width,
            words=tuple(rng.randrange(1 << width) for _ in range(depth)),
        )
        for number, (width, depth) in enumerate(WIDTHS_AND_DEPTHS)
    ]


class _Chain(wiring.Component):
    """Several memories in a row, all read at one address."""

    def __init__(self, tables: Sequence[ParameterTable]) -> None:
        self.memories = [ParameterMemory(table, loadable=True) for table in tables]
        super().__init__({"address": In(3), "word": Out(32).array(len(tables))} | load_ports(True))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for number, memory in enumerate(self.memories):
            m.submodules[memory.table.name] = memory
            m.d.comb += [memory.address.eq(self.address), self.word[number].eq(memory.word)]
        connect_load_chain(m, self, self.memories)
        return m


def _send(ctx, dut, data: bytes, rng: random.Random):  # type: ignore[no-untyped-def]
    """Send bytes with random pauses."""

    async def send() -> None:
        for byte in data:
            while rng.random() < 0.3:
                await ctx.tick()
            ctx.set(dut.load_i.valid, 1)
            ctx.set(dut.load_i.data, byte)
            await ctx.tick()
            ctx.set(dut.load_i.valid, 0)
            ctx.set(dut.load_i.data, rng.randrange(256))

    return send()


async def _start(ctx, dut) -> None:  # type: ignore[no-untyped-def]
    ctx.set(dut.load_i.start, 1)
    await ctx.tick()
    ctx.set(dut.load_i.start, 0)


async def _contents(ctx, dut) -> list[tuple[int, ...]]:  # type: ignore[no-untyped-def]
    found = []
    for number, memory in enumerate(dut.memories):
        words = []
        for address in range(len(memory.table.words)):
            ctx.set(dut.address, address)
            await ctx.tick().repeat(ParameterMemory.LATENCY)
            words.append(ctx.get(dut.word[number]))
        found.append(tuple(words))
    return found


@pytest.mark.parametrize("seed", range(4))
def test_a_load_fills_all_memories_in_order(seed: int) -> None:
    rng = random.Random(seed)
    before, after = _tables(rng), _tables(rng)
    dut = _Chain(before)
    data = b"".join(table.to_bytes() for table in after)

    async def bench(ctx):  # type: ignore[no-untyped-def]
        assert ctx.get(dut.full)
        assert await _contents(ctx, dut) == [table.words for table in before]
        await _start(ctx, dut)
        await _send(ctx, dut, data[:-1], rng)
        await ctx.tick().repeat(2 * len(before))
        assert not ctx.get(dut.full)
        assert not ctx.get(dut.load_o.valid)
        await _send(ctx, dut, data[-1:], rng)
        await ctx.tick().repeat(len(before))
        assert ctx.get(dut.full)
        assert await _contents(ctx, dut) == [table.words for table in after]

    simulate(dut, bench)


def test_bytes_beyond_the_end_leave_the_chain() -> None:
    rng = random.Random(7)
    tables = _tables(rng)
    dut, seen = _Chain(tables), []
    data = b"".join(table.to_bytes() for table in tables)

    async def bench(ctx):  # type: ignore[no-untyped-def]
        await _start(ctx, dut)
        await _send(ctx, dut, data + b"\x5a", rng)
        for _ in range(2 * len(tables)):
            if ctx.get(dut.load_o.valid):
                seen.append(ctx.get(dut.load_o.data))
            await ctx.tick()
        assert await _contents(ctx, dut) == [table.words for table in tables]

    simulate(dut, bench)
    assert seen == [0x5A]


def test_a_load_may_begin_anew_at_any_byte() -> None:
    rng = random.Random(3)
    before, after = _tables(rng), _tables(rng)
    data = b"".join(table.to_bytes() for table in after)
    dut = _Chain(before)

    async def bench(ctx):  # type: ignore[no-untyped-def]
        for length in (0, 1, 2, len(data) // 2, len(data) - 1):
            await _start(ctx, dut)
            await _send(ctx, dut, rng.randbytes(length), rng)
        await _start(ctx, dut)
        await _send(ctx, dut, data, rng)
        await ctx.tick().repeat(len(before))
        assert await _contents(ctx, dut) == [table.words for table in after]

    simulate(dut, bench)


def test_words_travel_least_significant_byte_first() -> None:
    table = ParameterTable(name="table", width=12, words=(0xABC, 0x123))
    assert table.to_bytes() == bytes([0xBC, 0x0A, 0x23, 0x01])
    assert LOAD_BUS.size == 10
