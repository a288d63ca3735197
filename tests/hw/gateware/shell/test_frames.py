"""Frames of right and wrong length: transfers into the pipeline, and error flags."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from amaranth import Module, Signal, unsigned
from amaranth.lib import fifo, stream, wiring
from amaranth.lib.wiring import In, Out
from hypothesis import given, settings
from hypothesis import strategies as st

from systolith.gateware.shell import FrameCheck, FrameEnd, StreamFormat, packet
from systolith.network import ActType
from tests.support.stream_bench import simulate

BITS = 6
LAST = 1 << 8


def _format(transfers: int) -> StreamFormat:
    return StreamFormat(act=ActType(bits=3, signed=False), lanes=2, transfers=transfers)


class Through(wiring.Component):
    """Frame check, a queue as the pipeline, and frame end; with the flags of the check."""

    i: stream.Interface
    o: stream.Interface
    check: Signal
    open: Signal
    begun: Signal
    ended: Signal
    short: Signal
    long: Signal

    def __init__(self, transfers_in: int, transfers_out: int) -> None:
        self.formats = _format(transfers_in), _format(transfers_out)
        super().__init__(
            {
                "i": In(stream.Signature(packet(8))),
                "o": Out(stream.Signature(packet(8, user=True))),
                "check": In(1, init=1),
                "open": In(1, init=1),
                "begun": Out(1),
                "ended": Out(1),
                "short": Out(1),
                "long": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.check = check = FrameCheck(self.formats[0])
        m.submodules.end = end = FrameEnd(self.formats[1])
        m.submodules.pipeline = pipeline = fifo.SyncFIFO(width=BITS, depth=5)
        m.submodules.marks = marks = fifo.SyncFIFO(width=1, depth=2)
        wiring.connect(m, wiring.flipped(self.i), check.i)
        wiring.connect(m, check.o, pipeline.w_stream)
        wiring.connect(m, pipeline.r_stream, end.i)
        wiring.connect(m, check.marks, marks.w_stream)
        wiring.connect(m, marks.r_stream, end.marks)
        wiring.connect(m, end.o, wiring.flipped(self.o))
        m.d.comb += [check.check.eq(self.check), check.open.eq(self.open)]
        for name in ("begun", "ended", "short", "long"):
            m.d.comb += getattr(self, name).eq(getattr(check, name))
        return m


@dataclass
class Seen:
    outputs: list[tuple[int, int, int]] = field(default_factory=list)
    events: list[str] = field(default_factory=list)


def _run(
    dut: Through, packets: Sequence[Sequence[int]], outputs: int, seed: int, check: int = 1
) -> Seen:
    """Send packets, the last transfer of each with TLAST; pauses on both sides."""
    rng = random.Random(seed)
    words = [w | LAST * (n == len(p) - 1) for p in packets for n, w in enumerate(p)]
    seen = Seen()

    async def bench(ctx: Any) -> None:
        ctx.set(dut.check, check)
        idle, offering = 0, False
        while idle < 100:
            offering = bool(words) and (offering or rng.random() < 0.6)
            ctx.set(dut.i.valid, offering)
            if offering:
                ctx.set(dut.i.payload, {"data": words[0] & 255, "last": words[0] >> 8})
            ctx.set(dut.o.ready, rng.random() < 0.6)
            idle += 1
            for name in ("short", "long", "begun", "ended"):
                if ctx.get(getattr(dut, name)):
                    seen.events.append(name)
            if ctx.get(dut.o.valid) and ctx.get(dut.o.ready):
                payload = ctx.get(dut.o.payload)
                seen.outputs.append((payload.data, payload.last, payload.user))
                idle = 0
            if offering and ctx.get(dut.i.ready):
                words.pop(0)
                offering, idle = False, 0
            await ctx.tick()

    simulate(dut, bench)
    assert not words, "the input hangs"
    assert len(seen.outputs) == outputs
    return seen


def _expected(packets: Sequence[Sequence[int]], transfers: int) -> Seen:
    """Fill up or cut each packet to a frame; TUSER of its last transfer says if so."""
    seen = Seen()
    for given_packet in packets:
        wrong = int(len(given_packet) != transfers)
        frame = [word % (1 << BITS) for word in given_packet][:transfers]
        frame += [0] * (transfers - len(frame))
        seen.outputs += [(word, 0, 0) for word in frame[:-1]] + [(frame[-1], 1, wrong)]
    return seen


@settings(max_examples=40, deadline=None)
@given(
    transfers=st.integers(1, 5),
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=8),
    seed=st.integers(0, 9),
)
def test_each_packet_becomes_one_frame(transfers: int, lengths: list[int], seed: int) -> None:
    rng = random.Random(seed)
    packets = [[rng.randrange(256) for _ in range(length)] for length in lengths]
    expected = _expected(packets, transfers)
    seen = _run(Through(transfers, transfers), packets, len(expected.outputs), seed)
    assert seen.outputs == expected.outputs
    wrong = ["short" if length < transfers else "long" for length in lengths if length != transfers]
    assert [event for event in seen.events if event in ("short", "long")] == wrong
    for name in ("begun", "ended"):
        assert seen.events.count(name) == len(lengths)


@pytest.mark.parametrize("seed", range(3))
def test_without_the_check_only_the_count_matters(seed: int) -> None:
    packets = [list(range(10, 10 + length)) for length in (2, 7, 1, 5)]
    words = [word % (1 << BITS) for p in packets for word in p]
    seen = _run(Through(3, 3), packets, 15, seed, check=0)
    assert seen.outputs == [(word, n % 3 == 2, 0) for n, word in enumerate(words)]
    assert "short" not in seen.events and "long" not in seen.events


def test_the_last_transfer_of_a_result_waits_for_the_end_of_its_input() -> None:
    """A result of 2 transfers can be complete before its input of 4."""
    dut = Through(4, 2)

    async def bench(ctx: Any) -> None:
        ctx.set(dut.o.ready, 1)
        ctx.set(dut.i.valid, 1)
        for transfer in range(4):
            ctx.set(dut.i.payload, {"data": transfer, "last": transfer == 3})
            assert not (ctx.get(dut.o.valid) and ctx.get(dut.o.payload.last))
            await ctx.tick()
        ctx.set(dut.i.valid, 0)
        assert ctx.get(dut.o.valid) and ctx.get(dut.o.payload.last)

    simulate(dut, bench)


def test_switching_the_check_off_ends_the_dropping_of_a_frame_without_end() -> None:
    dut = FrameCheck(_format(2))

    async def bench(ctx: Any) -> None:
        ctx.set(dut.open, 1)
        ctx.set(dut.check, 1)
        ctx.set(dut.o.ready, 1)
        ctx.set(dut.marks.ready, 1)
        ctx.set(dut.i.valid, 1)
        passed = []
        for cycle in range(8):
            ctx.set(dut.i.payload, {"data": cycle, "last": 0})
            ctx.set(dut.check, cycle < 5)
            assert ctx.get(dut.i.ready)
            if ctx.get(dut.o.valid):
                passed.append(ctx.get(dut.o.payload))
            await ctx.tick()
        assert passed == [0, 1, 5, 6, 7]
        ctx.set(dut.check, 1)  # and it does not come back
        ctx.set(dut.i.payload, {"data": 9, "last": 1})
        assert ctx.get(dut.o.valid)

    simulate(dut, bench)


def test_nothing_passes_while_closed() -> None:
    dut = FrameCheck(_format(2))

    async def bench(ctx: Any) -> None:
        ctx.set(dut.check, 1)
        ctx.set(dut.o.ready, 1)
        ctx.set(dut.marks.ready, 1)
        ctx.set(dut.i.valid, 1)
        assert not ctx.get(dut.i.ready) and not ctx.get(dut.o.valid)
        ctx.set(dut.open, 1)
        assert ctx.get(dut.i.ready) and ctx.get(dut.o.valid)

    simulate(dut, bench)


def test_valid_rises_without_ready() -> None:
    dut = Through(2, 2)

    async def bench(ctx: Any) -> None:
        ctx.set(dut.i.valid, 1)
        await ctx.tick().repeat(3)
        assert ctx.get(dut.o.valid)

    simulate(dut, bench)


def test_tdata_is_whole_bytes() -> None:
    form = StreamFormat(act=ActType(bits=5, signed=True), lanes=3, transfers=1)
    assert (form.width, form.tdata_width) == (15, 16)
    assert FrameEnd(form).o.payload.data.shape() == unsigned(16)
