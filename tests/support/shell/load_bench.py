"""Loads of other weights through a shell, seen from outside."""

import zlib

from tests.support.shell.agents import Bench
from tests.support.shell.scenarios import scenario


@scenario(loads=True)
async def other_weights_give_the_other_networks_results(bench: Bench) -> None:
    for results in (bench.job.other, bench.job.own, bench.job.other):
        await bench.load(results.load)
        while "LOADED" not in await bench.bits("STATUS"):
            pass
        assert await bench.read("LOAD_COUNT") == len(results.load)
        assert await bench.read("LOAD_CRC") == zlib.crc32(results.load)
        assert await bench.bits("ERRORS") == set()
        await bench.right(results)
    await bench.reset()
    assert await bench.bits("STATUS") == bench.idle
    await bench.right(bench.job.other)
    await bench.load(bench.job.own.load)
    await bench.right()


@scenario(loads=True)
async def a_damaged_load_has_another_checksum(bench: Bench) -> None:
    data = bytearray(bench.job.other.load)
    data[bench.rng.randrange(len(data))] ^= 1 << bench.rng.randrange(8)
    await bench.load(bytes(data))
    assert await bench.read("LOAD_CRC") != zlib.crc32(bench.job.other.load)
    await bench.load(bench.job.own.load)
    assert await bench.read("LOAD_CRC") == zlib.crc32(bench.job.own.load)
    await bench.right()


@scenario(loads=True)
async def no_frame_enters_with_a_part_of_the_weights(bench: Bench) -> None:
    data = bench.job.other.load
    await bench.load(data[:-1])
    await bench.send(bench.job.images[0])
    await bench.wait(2 * bench.job.latency)
    assert await bench.bits("STATUS") == set()
    assert await bench.read("FRAMES_IN") == 0
    await bench.load(data[-1:], start=False)
    await bench.expect(bench.job.other, 0)
    await bench.load(bench.job.own.load)
    await bench.right()


@scenario(loads=True)
async def bytes_beyond_the_end_are_told_and_change_nothing(bench: Bench) -> None:
    await bench.load(bench.job.own.load + bytes(8))
    await bench.errors("LOAD_OVERFLOW")
    assert await bench.read("LOAD_COUNT") == len(bench.job.own.load)
    await bench.right()


@scenario(loads=True)
async def a_load_goes_on_through_a_soft_reset(bench: Bench) -> None:
    data = bench.job.other.load
    half = len(data) // 8 * 4
    await bench.load(data[:half])
    await bench.soft_reset()
    assert await bench.read("LOAD_COUNT") == half
    await bench.load(data[half:], start=False)
    assert await bench.read("LOAD_CRC") == zlib.crc32(data)
    await bench.right(bench.job.other)
    await bench.load(bench.job.own.load)
    await bench.right()
    await bench.errors()


@scenario(loads=True)
async def a_load_that_is_cut_off_by_reset_can_begin_anew(bench: Bench) -> None:
    for reset in (bench.reset, bench.soft_reset):
        await bench.load(bench.job.other.load[: len(bench.job.other.load) // 2])
        await reset()
        await bench.wait(100)
        assert await bench.bits("STATUS") == set()
        await bench.load(bench.job.other.load)
        await bench.right(bench.job.other)
        await bench.load(bench.job.own.load)
        await bench.right()


@scenario(loads=True)
async def a_load_while_busy_is_told(bench: Bench) -> None:
    await bench.write("CONTROL", 0)
    await bench.send(bench.job.images[0][: bench.job.transfers // 2 * bench.bytes_per_transfer])
    await bench.source.wait()
    await bench.wait(10)
    assert "BUSY" in await bench.bits("STATUS")
    await bench.load(bench.job.own.load)
    await bench.errors("LOAD_BUSY")
    await bench.soft_reset()
    await bench.write("CONTROL", 1)
    await bench.right()
