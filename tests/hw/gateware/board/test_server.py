"""The server of a board: results for valid requests only."""

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from amaranth.sim import Simulator

from systolith.gateware.board import AnswerStatus, BoardConfig, OutputConfig, RequestKind, Server
from systolith.host import Answer, Identity, OutputFormat, decode, encode

DIVISOR, IDLE_BITS = 4, 24
OUTPUTS = 3
CONFIG = BoardConfig(
    divisor=DIVISOR,
    idle_bits=IDLE_BITS,
    lanes_in=2,
    transfers_in=3,
    outputs=(OutputConfig(channels=OUTPUTS, lanes=2, bits=20),),
    identity=bytes(range(1, 9)),
)
FORMAT = OutputFormat(values=OUTPUTS, value_bytes=4, signed=True, has_class=True)
LATENCY = 7
"""Cycles of the test's accelerator from its last transfer in to its first transfer out."""


def _expected(image: bytes) -> list[int]:
    """Outputs of 20 bits, some of them negative."""
    total = sum(byte << number for number, byte in enumerate(image))
    return [total - 4000, -total, (total * 37) % 5000 - 2500]


def _class(outputs: list[int]) -> int:
    return outputs.index(max(outputs))


def _transfers(output: OutputConfig, values: list[int]) -> list[list[int]]:
    """Divide values, pixel by pixel, into transfers; surplus lanes have any value."""
    made = []
    for pixel in range(0, len(values), output.channels):
        rest = [*values[pixel : pixel + output.channels], *[1] * output.lanes]
        made += [rest[n : n + output.lanes] for n in range(0, output.channels, output.lanes)]
    return made


class Harness:
    """A server between a line that is driven bit by bit and an accelerator in Python."""

    def __init__(
        self, config: BoardConfig = CONFIG, compute: Callable[[bytes], list[int]] = _expected,
        *others: Callable[[bytes], list[int]],
    ) -> None:  # fmt: skip
        self.config, self.computes = config, (compute, *others)
        self.dut = Server(config, input_bits=8)
        self.received = b""
        self.frames: list[bytes] = []

    def run(self, host: Callable[[Any], Any]) -> None:
        """Simulate until the host is done."""
        dut = self.dut

        async def accelerator(ctx):  # type: ignore[no-untyped-def]
            rng, frame = random.Random(1), b""
            while True:
                ctx.set(dut.images.ready, ready := rng.random() < 0.7)
                *_, valid, payload = await ctx.tick().sample(dut.images.valid, dut.images.payload)
                if valid and ready:
                    frame += payload.to_bytes(2, "little")
                if len(frame) == self.config.image_bytes:
                    self.frames.append(frame)
                    ctx.set(dut.images.ready, 0)
                    await ctx.tick().repeat(LATENCY)
                    waiting = [
                        _transfers(output, compute(frame))
                        for output, compute in zip(self.config.outputs, self.computes, strict=True)
                    ]
                    while any(waiting):
                        for results, transfers in zip(dut.results, waiting, strict=True):
                            offered = bool(transfers) and rng.random() < 0.7
                            ctx.set(results.valid, offered)
                            if offered:
                                ctx.set(results.payload, transfers.pop(0))
                        await ctx.tick()
                    for results in dut.results:
                        ctx.set(results.valid, 0)
                    frame = b""

        async def line(ctx):  # type: ignore[no-untyped-def]
            while True:
                while ctx.get(dut.tx):
                    await ctx.tick()
                await ctx.tick().repeat(DIVISOR + DIVISOR // 2)
                byte = 0
                for bit in range(8):
                    byte |= ctx.get(dut.tx) << bit
                    await ctx.tick().repeat(DIVISOR)
                assert ctx.get(dut.tx), "a stop bit"
                self.received += bytes([byte])

        simulator = Simulator(dut)
        simulator.add_clock(1e-6)
        simulator.add_testbench(host)
        simulator.add_testbench(accelerator, background=True)
        simulator.add_testbench(line, background=True)
        simulator.run()

    async def send(self, ctx: Any, data: bytes, *, stop: int = 1) -> None:
        """Drive bytes onto the line."""
        for byte in data:
            for bit in (0, *(byte >> n & 1 for n in range(8)), stop):
                ctx.set(self.dut.rx, bit)
                await ctx.tick().repeat(DIVISOR)
        ctx.set(self.dut.rx, 1)

    async def answer(self, ctx: Any, cycles: int = 6000) -> Answer | None:
        """Wait for the next answer; None if none comes."""
        for _ in range(cycles):
            found, self.received = decode(self.received)
            if found is not None:
                return found
            await ctx.tick()
        return None


def _check(answer: Answer | None, image: bytes, sequence: int) -> None:
    assert answer is not None
    assert (answer.status, answer.sequence) == (AnswerStatus.OK, sequence)
    outputs = _expected(image)
    assert answer.payload[: 4 * OUTPUTS] == b"".join(
        value.to_bytes(4, "little", signed=True) for value in outputs
    )
    assert int.from_bytes(answer.payload[4 * OUTPUTS :][:2], "little") == _class(outputs)
    assert int.from_bytes(answer.payload[-4:], "little") > LATENCY


def test_images_are_classified_one_after_the_other() -> None:
    rng, harness = random.Random(0), Harness()
    images = [rng.randbytes(CONFIG.image_bytes) for _ in range(4)]

    async def host(ctx):  # type: ignore[no-untyped-def]
        for number, image in enumerate(images):
            await harness.send(ctx, encode(RequestKind.CLASSIFY, number, image))
            _check(await harness.answer(ctx), image, number)

    harness.run(host)
    assert harness.frames == images


def test_a_class_that_the_chip_found_is_the_class() -> None:
    output = OutputConfig(channels=1, lanes=1, bits=20, gives_class=True)
    config = replace(CONFIG, outputs=(output,))
    harness, image = Harness(config, lambda image: [image[0] * 3]), bytes([241, 0, 0, 0, 0, 0])

    async def host(ctx):  # type: ignore[no-untyped-def]
        await harness.send(ctx, encode(RequestKind.CLASSIFY, 1, image))
        answer = await harness.answer(ctx)
        assert answer is not None and answer.status is AnswerStatus.OK
        assert int.from_bytes(answer.payload[:4], "little") == 723
        assert int.from_bytes(answer.payload[4:6], "little") == 723

    harness.run(host)


def test_several_outputs_follow_each_other() -> None:
    """A vector, a feature map whose last lane is idle, a vector of one byte, and a class."""
    outputs = (
        OutputConfig(channels=OUTPUTS, lanes=2, bits=20),
        OutputConfig(channels=5, pixels=4, lanes=2, bits=8, signed=False, has_class=False),
        OutputConfig(channels=4, lanes=4, bits=3),
        OutputConfig(channels=1, lanes=1, bits=9, signed=False, gives_class=True),
    )
    computes = (
        _expected,
        lambda image: [(image[0] + 11 * n) % 256 for n in range(20)],
        lambda image: [-4, 3, image[1] % 4, 3],
        lambda image: [image[2] + 200],
    )
    harness = Harness(replace(CONFIG, outputs=outputs), *computes)
    images = [bytes([255, 6, 200, 0, 0, 9]), bytes([3, 2, 30, 1, 0, 0])]

    async def host(ctx):  # type: ignore[no-untyped-def]
        await harness.send(ctx, encode(RequestKind.IDENTIFY, 1))
        answer = await harness.answer(ctx, 20_000)
        assert answer is not None
        formats = Identity.from_bytes(answer.payload).outputs
        sizes = [(output.values, output.value_bytes) for output in formats]
        assert sizes == [(3, 4), (20, 1), (4, 1), (1, 2)]
        layout = np.dtype([(str(n), one.dtype) for n, one in enumerate(formats)])
        for number, image in enumerate(images):
            await harness.send(ctx, encode(RequestKind.CLASSIFY, number, image))
            answer = await harness.answer(ctx, 20_000)
            assert answer is not None and len(answer.payload) == layout.itemsize + 4
            (found,) = np.frombuffer(answer.payload, layout, count=1)
            for n, compute in enumerate(computes):
                assert found[str(n)]["values"].tolist() == compute(image)
            classes = [int(found[name]["class"]) for name in ("0", "2", "3")]
            assert classes == [_class(_expected(image)), 1, image[2] + 200]

    harness.run(host)


def test_of_equal_outputs_the_first_is_the_class() -> None:
    harness, image = Harness(), bytes([29, 0, 0, 0, 0, 128])
    first, _, last = _expected(image)
    assert first == last > 0

    async def host(ctx):  # type: ignore[no-untyped-def]
        await harness.send(ctx, encode(RequestKind.CLASSIFY, 1, image))
        _check(await harness.answer(ctx), image, 1)

    harness.run(host)


def test_it_says_what_it_computes() -> None:
    harness = Harness()

    async def host(ctx):  # type: ignore[no-untyped-def]
        await harness.send(ctx, encode(RequestKind.IDENTIFY, 9))
        answer = await harness.answer(ctx)
        assert answer is not None and answer.sequence == 9
        assert Identity.from_bytes(answer.payload) == Identity(
            network=CONFIG.identity, image_bytes=CONFIG.image_bytes, outputs=(FORMAT,)
        )

    harness.run(host)


IMAGE = bytes(range(10, 16))
GOOD = encode(RequestKind.CLASSIFY, 5, IMAGE)


@pytest.mark.parametrize(
    ("packet", "status"),
    [
        (GOOD[:-1] + bytes([GOOD[-1] ^ 1]), AnswerStatus.CHECKSUM),
        (GOOD[:8] + bytes([GOOD[8] ^ 0x80]) + GOOD[9:], AnswerStatus.CHECKSUM),
        (GOOD[:-3], AnswerStatus.TRUNCATED),
        (GOOD[:3], AnswerStatus.TRUNCATED),
        (encode(RequestKind.CLASSIFY, 5, IMAGE[:-1]), AnswerStatus.LENGTH),
        (encode(RequestKind.CLASSIFY, 5, IMAGE + b"x"), AnswerStatus.LENGTH),
        (encode(RequestKind.IDENTIFY, 5, IMAGE), AnswerStatus.LENGTH),
        (encode(RequestKind.CLASSIFY, 5), AnswerStatus.LENGTH),
    ],
    ids=["checksum", "payload", "end", "header", "short", "long", "kind", "empty"],
)
def test_a_wrong_request_is_declined_and_the_next_one_answered(
    packet: bytes, status: AnswerStatus
) -> None:
    harness = Harness()

    async def host(ctx):  # type: ignore[no-untyped-def]
        await harness.send(ctx, packet)
        answer = await harness.answer(ctx)
        assert answer is not None
        assert (answer.status, answer.payload) == (status, b"")
        await harness.send(ctx, encode(RequestKind.CLASSIFY, 6, IMAGE))
        _check(await harness.answer(ctx), IMAGE, 6)

    harness.run(host)
    assert harness.frames == [IMAGE], "only the good one reached the accelerator"


def test_a_byte_without_stop_bit_spoils_its_packet() -> None:
    harness = Harness()

    async def host(ctx):  # type: ignore[no-untyped-def]
        await harness.send(ctx, GOOD[:8])
        await harness.send(ctx, GOOD[8:9], stop=0)
        await harness.send(ctx, GOOD[9:])
        answer = await harness.answer(ctx)
        assert answer is not None and answer.status is not AnswerStatus.OK
        await harness.send(ctx, GOOD)
        _check(await harness.answer(ctx), IMAGE, 5)

    harness.run(host)
    assert harness.frames == [IMAGE]


@pytest.mark.parametrize("seed", range(6))
def test_noise_is_never_taken_for_an_image(seed: int) -> None:
    rng, harness = random.Random(seed), Harness()

    async def host(ctx):  # type: ignore[no-untyped-def]
        for _ in range(3):
            noise = bytearray(GOOD)
            for _ in range(rng.randint(1, 3)):
                noise[rng.randrange(len(noise))] = rng.choice([0xA5, rng.randrange(256)])
            if bytes(noise) == GOOD:
                continue
            await harness.send(ctx, bytes(noise))
            answer = await harness.answer(ctx, 3000)
            assert answer is None or answer.status is not AnswerStatus.OK
        await ctx.tick().repeat(2 * IDLE_BITS * DIVISOR)
        await harness.answer(ctx, 2000)
        await harness.send(ctx, GOOD)
        answer = await harness.answer(ctx)
        while answer is not None and answer.status is not AnswerStatus.OK:
            answer = await harness.answer(ctx)
        _check(answer, IMAGE, 5)

    harness.run(host)
    assert harness.frames == [IMAGE]
