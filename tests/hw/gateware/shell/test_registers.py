"""Register map and register file."""

import random
import re
import zlib
from pathlib import Path
from typing import Any

import pytest
from amaranth.sim import Simulator

from systolith.gateware.shell import (
    Access,
    Field,
    LoadPort,
    Register,
    RegisterFile,
    format_register_map,
    register_map,
)
from tests.support.stream_bench import simulate

FULL = register_map(outputs=3, reloadable=True)
DOCS = Path(__file__).parents[4] / "docs" / "interfaces.md"


def test_every_register_has_an_address_and_a_name_of_its_own() -> None:
    assert len({register.address for register in FULL}) == len(FULL)
    assert len({register.name for register in FULL}) == len(FULL)
    assert [r.address for r in FULL] == sorted(r.address for r in FULL)
    assert all(register.address % 4 == 0 for register in FULL)


@pytest.mark.parametrize("register", FULL, ids=lambda register: register.name)
def test_fields_do_not_overlap(register: Register) -> None:
    assert register.width <= 32
    assert sum(f.mask for f in register.fields) == _union(f.mask for f in register.fields)


def _union(masks: Any) -> int:
    union = 0
    for mask in masks:
        union |= mask
    return union


def test_a_design_without_loading_has_no_registers_for_it() -> None:
    without = register_map(reloadable=False)
    assert not any(register.name.startswith("LOAD") for register in without)
    assert not any(f.name.startswith("LOAD") for register in without for f in register.fields)


def test_more_outputs_than_the_map_has_room_for_are_refused() -> None:
    assert register_map(outputs=480)[-1].address == 0xFFC
    message = r"^the register map has room for 1\.\.480 outputs, got 481$"
    with pytest.raises(ValueError, match=message):
        register_map(outputs=481)


def test_the_documentation_shows_the_map() -> None:
    begin, end = "<!-- register map -->\n", "<!-- end of register map -->"
    table = DOCS.read_text().partition(begin)[2].partition(end)[0]
    assert table == format_register_map(register_map())


def test_the_documented_session_uses_the_map(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = DOCS.read_text().partition("## A session")[2].split("```")[1].removeprefix("python\n")
    (tmp_path / "rtl").mkdir()
    (tmp_path / "rtl/design.json").write_text('{"network_hash": "0123456789abcdef0123"}')
    (tmp_path / "other/rtl").mkdir(parents=True)
    (tmp_path / "other/rtl/load.bin").write_bytes(b"12345")
    monkeypatch.chdir(tmp_path)
    names = {register.address: register.name for register in register_map()}
    values = {
        "ID": 0x53595354,
        "NETWORK_HI": 0x01234567,
        "NETWORK_LO": 0x89ABCDEF,
        "STATUS": _register("STATUS").field("LOADED").mask,
        "LOAD_CRC": zlib.crc32(b"12345"),
        "ERRORS": 5,
        "FRAMES_OUT": 7,
        "INTERVAL": 9,
    }
    written: list[tuple[str, int]] = []
    host = {
        "read": lambda address: values[names[address]],
        "write": lambda address, value: written.append((names[address], value)),
        "send_and_receive": lambda images: None,
        "images": None,
    }
    exec(session, host)
    assert written == [
        ("STALL_LIMIT", 1_000_000),
        ("COMMAND", _register("COMMAND").field("LOAD_START").mask),
        ("LOAD_DATA", int.from_bytes(b"1234", "little")),
        ("LOAD_DATA", ord("5")),
        ("ERRORS", 5),
    ]


def _register(name: str) -> Register:
    return next(register for register in FULL if register.name == name)


SMALL = (
    Register(name="SHOWN", address=0x0, access=Access.READ, meaning=""),
    Register(name="KEPT", address=0x4, access=Access.READ_WRITE, meaning="", init=0x12345678),
    Register(
        name="NARROW",
        address=0x8,
        access=Access.READ_WRITE,
        meaning="",
        fields=(Field(name="A", bit=0, meaning=""), Field(name="B", bit=9, width=2, meaning="")),
    ),
    Register(
        name="STICKY",
        address=0xC,
        access=Access.CLEAR,
        meaning="",
        fields=(Field(name="A", bit=0, width=12, meaning=""),),
    ),
    Register(name="SENT", address=0x20, access=Access.WRITE, meaning=""),
)


async def _access(
    ctx: Any, dut: RegisterFile, address: int, value: int | None = None, strobe: int = 15
) -> tuple[int, int]:
    """Read, or write a value. Returns data and error, one cycle after the transfer."""
    write = value is not None
    ctx.set(
        dut.request.payload,
        {"address": address // 4, "write": write, "data": value or 0, "strobe": strobe},
    )
    ctx.set(dut.request.valid, 1)
    ready = False
    while not ready:
        *_, ready = await ctx.tick().sample(dut.request.ready)
        assert ctx.get(dut.response.valid) == ready
    ctx.set(dut.request.valid, 0)
    assert ctx.get(dut.response.valid)
    return ctx.get(dut.response.payload.data), ctx.get(dut.response.payload.error)


def test_what_is_read_is_what_was_written_byte_by_byte() -> None:
    dut = RegisterFile(SMALL)

    async def bench(ctx: Any) -> None:
        ctx.set(dut.shown, 0xCAFE0001)
        assert await _access(ctx, dut, 0x0) == (0xCAFE0001, 0)
        assert await _access(ctx, dut, 0x4) == (0x12345678, 0)
        assert await _access(ctx, dut, 0x4, 0xAABBCCDD, strobe=0b0101) == (0, 0)
        assert await _access(ctx, dut, 0x4) == (0x12BB56DD, 0)
        assert ctx.get(dut.kept) == 0x12BB56DD
        await _access(ctx, dut, 0x8, 0xFFFFFFFF)
        assert await _access(ctx, dut, 0x8) == (0x7FF, 0)

    simulate(dut, bench)


def test_sticky_bits_stay_until_a_one_is_written_and_events_win() -> None:
    dut = RegisterFile(SMALL)

    async def bench(ctx: Any) -> None:
        ctx.set(dut.sticky_set, 0x909)
        await ctx.tick()
        ctx.set(dut.sticky_set, 0)
        await ctx.tick().repeat(3)
        assert await _access(ctx, dut, 0xC) == (0x909, 0)
        await _access(ctx, dut, 0xC, 0x908, strobe=0b0001)
        assert await _access(ctx, dut, 0xC) == (0x901, 0)
        ctx.set(dut.sticky_set, 0x001)
        await _access(ctx, dut, 0xC, 0xFFF)
        ctx.set(dut.sticky_set, 0)
        assert await _access(ctx, dut, 0xC) == (0x001, 0)

    simulate(dut, bench)


def test_a_write_waits_until_it_is_taken() -> None:
    dut = RegisterFile(SMALL)
    taken = []

    async def consumer(ctx: Any) -> None:
        for number in range(60):
            ctx.set(dut.sent.ready, number % 5 == 4)
            if ctx.get(dut.sent.valid) and ctx.get(dut.sent.ready):
                payload = ctx.get(dut.sent.payload)
                taken.append((payload.data, payload.strobe))
            await ctx.tick()

    async def bench(ctx: Any) -> None:
        for number in range(5):
            assert await _access(ctx, dut, 0x20, number, strobe=number) == (0, 0)

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.add_testbench(consumer)
    simulator.run()
    assert taken == [(number, number) for number in range(5)]


@pytest.mark.parametrize(
    ("address", "value", "error"),
    [
        (0x0, None, 0), (0x0, 1, 1), (0x4, None, 0), (0x4, 1, 0), (0xC, None, 0), (0xC, 1, 0),
        (0x20, None, 1), (0x20, 1, 0), (0x10, None, 1), (0x10, 1, 1), (0xFFC, None, 1),
    ],
)  # fmt: skip
def test_what_a_register_is_not_for_is_an_error(
    address: int, value: int | None, error: int
) -> None:
    dut = RegisterFile(SMALL)

    async def bench(ctx: Any) -> None:
        ctx.set(dut.sent.ready, 1)
        assert (await _access(ctx, dut, address, value))[1] == error
        assert ctx.get(dut.kept) == (1 if (address, value) == (0x4, 1) else 0x12345678)

    simulate(dut, bench)


class Chain:
    """Model of a load chain of several memories, with its delays."""

    def __init__(self, sizes: list[int]) -> None:
        self.sizes = sizes
        self.contents: list[list[int]] = [[] for _ in sizes]
        self.full = [1] * len(sizes)
        self._bus: list[tuple[int, int, int]] = [(0, 0, 0)] * len(sizes)

    def step(self, start: int, valid: int, byte: int) -> None:
        """Advance one clock edge with the signals of the bus."""
        arriving = [(start, valid, byte), *self._bus[:-1]]
        for number, (begin, some, data) in enumerate(arriving):
            passed = some and self.full[number]
            if some and not self.full[number]:
                self.contents[number].append(data)
                self.full[number] = len(self.contents[number]) == self.sizes[number]
            if begin:
                self.contents[number], self.full[number] = [], 0
            self._bus[number] = (begin, int(bool(passed)), data)


def _load(
    sizes: list[int], writes: list[tuple[int, int]], starts: list[int], seed: int = 0
) -> tuple[Chain, LoadPort, dict[str, int]]:
    """Write words with strobes; a load starts before each word whose number is in `starts`."""
    dut, chain, rng = LoadPort(sum(sizes)), Chain(sizes), random.Random(seed)
    result = {"overflows": 0, "opened_early": 0}

    async def bench(ctx: Any) -> None:
        number, idle = 0, 0
        starting = list(starts)
        while idle < 3 * len(sizes) + 8:
            start = bool(starting) and starting[0] == number
            if start:
                starting.pop(0)
            offer = not start and number < len(writes) and rng.random() < 0.7
            ctx.set(dut.start, start)
            ctx.set(dut.words.valid, offer)
            if offer:
                ctx.set(dut.words.payload, {"data": writes[number][0], "strobe": writes[number][1]})
            ctx.set(dut.full, chain.full[-1])
            bus = ctx.get(dut.bus)
            result["overflows"] += ctx.get(dut.overflow)
            if ctx.get(dut.loaded) and starts and not starting and not start:
                held = [len(part) for part in chain.contents]
                result["opened_early"] += held != sizes
            if offer and ctx.get(dut.words.ready):
                number += 1
            idle = 0 if number < len(writes) or bus.valid or bus.start else idle + 1
            await ctx.tick()
            chain.step(bus.start, bus.valid, bus.data)
        result.update(loaded=ctx.get(dut.loaded), count=ctx.get(dut.count), crc=ctx.get(dut.crc))

    simulate(dut, bench)
    return chain, dut, result


def _words(data: bytes) -> list[tuple[int, int]]:
    """Full words; the last is filled up with 0xEE."""
    padded = data + b"\xee" * (-len(data) % 4)
    return [(int.from_bytes(padded[n : n + 4], "little"), 15) for n in range(0, len(padded), 4)]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("sizes", [[1], [3], [8], [1, 1, 1, 1, 1], [4, 7, 2], [1, 13, 1, 1, 1]])
def test_all_bytes_arrive_and_are_accounted_for(sizes: list[int], seed: int) -> None:
    data = random.Random(seed).randbytes(sum(sizes))
    chain, _, result = _load(sizes, _words(data), [0], seed)
    assert b"".join(map(bytes, chain.contents)) == data
    assert result == {
        "overflows": 0,
        "opened_early": 0,
        "loaded": 1,
        "count": len(data),
        "crc": zlib.crc32(data),
    }


@pytest.mark.parametrize("seed", range(4))
def test_bytes_without_strobe_are_left_out(seed: int) -> None:
    rng = random.Random(seed)
    writes = [(rng.getrandbits(32), rng.randrange(16)) for _ in range(10)]
    data = bytes(
        word >> 8 * n & 255 for word, strobe in writes for n in range(4) if strobe >> n & 1
    )
    chain, _, result = _load([len(data)], writes, [0], seed)
    assert bytes(chain.contents[0]) == data
    assert result["crc"] == zlib.crc32(data)


def test_a_load_that_is_too_short_is_not_loaded() -> None:
    _, _, result = _load([4, 5], _words(bytes(range(8))), [0])
    assert (result["loaded"], result["count"], result["opened_early"]) == (0, 8, 0)


def test_a_load_that_is_too_long_overflows_and_changes_nothing() -> None:
    data = bytes(range(8))
    chain, _, result = _load([4, 4], _words(data + b"more bytes"), [0])
    assert b"".join(map(bytes, chain.contents)) == data
    assert (result["loaded"], result["overflows"], result["crc"]) == (1, 3, zlib.crc32(data))


def test_bytes_before_any_start_overflow() -> None:
    chain, _, result = _load([4], _words(bytes(4)), [])
    assert chain.contents == [[]]
    assert (result["loaded"], result["overflows"], result["count"]) == (1, 1, 0)


@pytest.mark.parametrize("seed", range(8))
def test_a_load_can_begin_anew_at_any_time(seed: int) -> None:
    sizes, rng = [1, 2, 3, 1, 1], random.Random(seed)
    first, second = rng.randbytes(8), rng.randbytes(8)
    writes = _words(first)[: rng.randrange(3)]
    chain, _, result = _load(sizes, writes + _words(second), [0, len(writes)], seed)
    assert b"".join(map(bytes, chain.contents)) == second
    assert (result["loaded"], result["opened_early"]) == (1, 0)
    assert result["crc"] == zlib.crc32(second)


def test_names_in_the_map_are_upper_case_words() -> None:
    assert all(re.fullmatch(r"[A-Z][A-Z0-9_]*", register.name) for register in FULL)
