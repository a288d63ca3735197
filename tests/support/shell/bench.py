"""What a shell does in the simulator, seen from outside: streams and registers."""

import cocotb

from tests.support.shell.agents import Bench, BusError
from tests.support.shell.scenarios import scenario


@scenario()
async def the_design_says_what_it_is(bench: Bench) -> None:
    job = bench.job
    major, minor, patch = job.version
    assert await bench.read("ID") == 0x53595354
    assert await bench.read("VERSION") == major << 16 | minor << 8 | patch
    high, low = await bench.read("NETWORK_HI"), await bench.read("NETWORK_LO")
    assert f"{high:08x}{low:08x}" == job.network_hash[:16]
    assert await bench.read("FEATURES") == len(job.masks) | bench.reloadable << 16
    assert await bench.read("INPUT_TRANSFERS") == job.transfers
    if bench.reloadable:
        assert await bench.read("LOAD_SIZE") == len(job.own.load)
    assert await bench.bits("STATUS") == bench.idle
    assert await bench.bits("ERRORS") == set()


@scenario()
async def registers_keep_what_is_written_by_bytes(bench: Bench) -> None:
    address = bench.registers["STALL_LIMIT"].address
    await bench.write("STALL_LIMIT", 0x11223344)
    await bench.host.write(address + 1, b"\xaa\xbb")
    assert await bench.read("STALL_LIMIT") == 0x11BBAA44
    await bench.write("CONTROL", 0xFFFFFFFE)
    assert await bench.read("CONTROL") == 0


@scenario()
async def what_is_not_in_the_map_is_an_error(bench: Bench) -> None:
    async def refused(name: str | int, data: bytes | None = None) -> None:
        address = name if isinstance(name, int) else bench.registers[name].address
        try:
            if data is None:
                await bench.host.read(address)
            else:
                await bench.host.write(address, data)
        except BusError:
            return
        raise AssertionError(f"{name} was not refused")

    for _ in range(3):
        await refused(0x02C)
        await refused(0xFFC)
        await refused(0x7F0, b"\1\2\3\4")
        await refused("ID", b"\1\2\3\4")
        await refused(0x060)  # LOAD_DATA is for writing, if it exists
        if not bench.reloadable:
            await refused(0x060, b"\1\2\3\4")
            await refused(0x064)
        await refused("COMMAND")
        assert await bench.read("ID") == 0x53595354


@scenario()
async def reads_and_writes_at_once_are_all_answered(bench: Bench) -> None:
    if bench.job.wishbone:
        return  # one access at a time

    async def reader() -> None:
        for _ in range(30):
            assert await bench.read("ID") == 0x53595354

    reading = cocotb.start_soon(reader())
    for number in range(30):
        await bench.write("STALL_LIMIT", number)
        assert await bench.read("STALL_LIMIT") == number
    await reading


@scenario(pauses=False)
async def what_is_offered_does_not_wait_for_ready(bench: Bench) -> None:
    for number, sink in enumerate(bench.sinks):
        sink.pause = True
        await bench.send(bench.job.images[0])
        await bench.wait(bench.job.latency + 50)
        assert getattr(bench.dut, f"{bench.offering[number]}valid").value
        sink.pause = False
        await bench.expect(bench.job.own, 0)
    for agent in bench.answers:
        agent.pause = True
    if bench.answers:
        writing = cocotb.start_soon(bench.write("STALL_LIMIT", 7))
        reading = cocotb.start_soon(bench.read("ID"))
        await bench.wait(20)
        assert bench.dut.s_axil_bvalid.value and bench.dut.s_axil_rvalid.value
        for agent in bench.answers:
            agent.pause = False
        await writing
        assert await reading == 0x53595354


@scenario()
async def results_are_right_under_pauses(bench: Bench) -> None:
    for _ in range(3):
        await bench.right()
    frames = 3 * len(bench.job.images)
    assert await bench.read("FRAMES_IN") == frames
    assert await bench.read("FRAMES_OUT") == frames
    assert await bench.bits("ERRORS") == set()
    assert await bench.bits("STATUS") == bench.idle
    assert await bench.read("INPUT_STALLS") > 0
    assert await bench.read("OUTPUT_STALLS") > 0


@scenario(pauses=False)
async def counters_count_what_was_planned(bench: Bench) -> None:
    for image in bench.job.images * 4:
        await bench.send(image)
    for number in range(4 * len(bench.job.images)):
        await bench.expect(bench.job.own, number % len(bench.job.images))
    assert await bench.read("INTERVAL") == bench.job.interval
    assert await bench.read("INPUT_STALLS") == 0
    assert await bench.read("OUTPUT_STALLS") == 0
    await bench.send(bench.job.images[0])  # alone
    await bench.expect(bench.job.own, 0)
    assert await bench.read("LATENCY") == bench.job.latency + 1

    first, answered = await bench.read("CYCLES_LO"), bench.answered
    await bench.wait(100)
    assert await bench.read("CYCLES_LO") - first == bench.answered - answered >= 100
    assert await bench.read("CYCLES_HI") == 0


@scenario()
async def a_short_frame_is_filled_up_marked_and_told(bench: Bench) -> None:
    own, images = bench.job.own, bench.job.images
    lengths = bench.rng.sample(range(1, bench.job.transfers), 4)
    await bench.send(images[0])
    for length in lengths:
        await bench.send(images[1][: length * bench.bytes_per_transfer])
        await bench.send(images[2])
    await bench.expect(own, 0)
    for _ in lengths:
        await bench.expect(own, None, user=1)
        await bench.expect(own, 2)
    await bench.nothing_comes()
    assert await bench.read("ERROR_FRAME") == 1
    assert await bench.read("FRAMES_OUT") == 1 + 2 * len(lengths)
    await bench.errors("SHORT_FRAME")
    await bench.send(bench.packet(1))
    await bench.expect(own, None, user=1)
    assert await bench.read("ERROR_FRAME") == 1 + 2 * len(lengths)
    await bench.errors("SHORT_FRAME")
    await bench.right()
    await bench.errors()


@scenario()
async def zeros_fill_up_a_short_frame(bench: Bench) -> None:
    """The second half of the last image is 0."""
    image = bench.job.images[-1]
    await bench.send(image[: (bench.job.transfers + 1) // 2 * bench.bytes_per_transfer])
    for number in range(len(bench.sinks)):
        frame = await bench.sinks[number].recv()
        mask = bench.job.masks[number]
        got = bytes(a & b for a, b in zip(frame.tdata, mask, strict=True))
        assert got == bench.job.own.results[number][-1]


@scenario()
async def a_long_frame_is_cut_marked_and_told(bench: Bench) -> None:
    own, images = bench.job.own, bench.job.images
    for surplus in (1, 2, bench.job.transfers, 3 * bench.job.transfers):
        await bench.send(images[0] + bench.packet(surplus))
        await bench.send(images[1])
    for _ in range(4):
        await bench.expect(own, 0, user=1)  # what came in time is right
        await bench.expect(own, 1)
    await bench.nothing_comes()
    assert await bench.read("ERROR_FRAME") == 0
    await bench.errors("LONG_FRAME")
    await bench.right()
    await bench.errors()


@scenario()
async def a_frame_without_end_is_dropped_until_it_ends_or_a_reset(bench: Bench) -> None:
    """TLAST is missing for many frames; the part that comes after a reset is a frame of its own."""
    images = bench.job.images
    for reset in (False, True):
        await bench.send(images[0] + bench.packet(20 * bench.job.transfers))
        await bench.expect(bench.job.own, 0, user=1)
        if reset:
            await bench.soft_reset()
        await bench.right()
        await bench.errors("LONG_FRAME")


@scenario()
async def wrong_frames_among_right_ones_leave_those_right(bench: Bench) -> None:
    transfers, images = bench.job.transfers, bench.job.images
    kinds = bench.rng.choices(("right", "short", "long"), k=30)
    for number, kind in enumerate(kinds):
        image = images[number % len(images)]
        if kind == "short":
            image = image[: bench.rng.randrange(1, transfers) * bench.bytes_per_transfer]
        if kind == "long":
            image += bench.packet(bench.rng.randrange(1, transfers + 2))
        await bench.send(image)
    for number, kind in enumerate(kinds):
        image = None if kind == "short" else number % len(images)
        await bench.expect(bench.job.own, image, user=int(kind != "right"))
    await bench.nothing_comes()
    await bench.errors("LONG_FRAME", "SHORT_FRAME")
    wrong = next(number for number, kind in enumerate(kinds) if kind != "right")
    assert await bench.read("ERROR_FRAME") == wrong


@scenario()
async def without_the_check_frames_may_come_as_one_packet(bench: Bench) -> None:
    await bench.write("CONTROL", 0)
    await bench.send(b"".join(bench.job.images))
    for number in range(len(bench.job.images)):
        await bench.expect(bench.job.own, number)
    half = bench.job.transfers // 2 * bench.bytes_per_transfer
    await bench.send(bench.job.images[0][:half])
    await bench.send(bench.job.images[0][half:])
    await bench.expect(bench.job.own, 0)
    await bench.nothing_comes()
    assert await bench.bits("ERRORS") == set()


@scenario()
async def a_producer_that_stops_is_told_and_the_rest_comes_out(bench: Bench) -> None:
    """The stream stops for ever in the middle of a frame; a soft reset begins anew."""
    images = bench.job.images
    for image in images:
        await bench.send(image)
    await bench.write("CONTROL", 0)  # so that the part is a part, not a short frame
    await bench.send(images[0][: bench.job.transfers // 2 * bench.bytes_per_transfer])
    for number in range(len(images)):
        await bench.expect(bench.job.own, number)
    assert await bench.bits("STATUS") == {"BUSY"} | bench.idle
    await bench.write("STALL_LIMIT", 300)
    await bench.wait(350)
    assert await bench.bits("STATUS") == {"BUSY", "INPUT_STALLED"} | bench.idle
    assert await bench.bits("ERRORS") == {"INPUT_STALLED"}
    assert await bench.read("FRAMES_IN") == len(images)
    assert all(sink.empty() for sink in bench.sinks)

    await bench.soft_reset()
    assert await bench.bits("STATUS") == bench.idle
    assert await bench.bits("ERRORS") == {"INPUT_STALLED"}  # until it is cleared
    assert await bench.read("STALL_LIMIT") == 300
    await bench.errors("INPUT_STALLED")
    await bench.write("CONTROL", 1)
    await bench.right()
    assert await bench.read("FRAMES_OUT") == len(images)


@scenario()
async def a_producer_may_go_on_after_any_time(bench: Bench) -> None:
    half = bench.job.transfers // 2 * bench.bytes_per_transfer
    await bench.write("CONTROL", 0)
    await bench.write("STALL_LIMIT", 100)
    await bench.send(bench.job.images[0][:half])
    await bench.wait(1000)
    assert "INPUT_STALLED" in await bench.bits("STATUS")
    await bench.send(bench.job.images[0][half:])
    await bench.expect(bench.job.own, 0)
    assert await bench.bits("STATUS") == bench.idle
    assert await bench.bits("ERRORS") == {"INPUT_STALLED"}


@scenario()
async def a_consumer_that_stops_is_told_and_nothing_is_lost(bench: Bench) -> None:
    images = bench.job.images * 3
    blocked = bench.sinks[-1]
    blocked.clear_pause_generator()
    blocked.pause = True
    await bench.write("STALL_LIMIT", 400)
    for image in images:
        await bench.send(image)
    await bench.wait(3000)
    assert await bench.bits("STATUS") >= {"BUSY", "OUTPUT_BLOCKED"}
    assert await bench.bits("ERRORS") == {"OUTPUT_BLOCKED"}
    assert await bench.read("FRAMES_OUT") == 0
    assert blocked.empty()
    blocked.pause = False
    for number in range(len(images)):
        await bench.expect(bench.job.own, number % len(bench.job.images))
    await bench.nothing_comes()
    assert await bench.bits("STATUS") == bench.idle
    assert await bench.read("FRAMES_OUT") == len(images)
    await bench.errors("OUTPUT_BLOCKED")


@scenario()
async def after_a_consumer_that_stops_for_ever_a_reset_begins_anew(bench: Bench) -> None:
    for reset in (bench.soft_reset, bench.reset):
        for sink in bench.sinks:
            sink.clear_pause_generator()
            sink.pause = True
        for image in bench.job.images * 3:
            await bench.send(image)
        await bench.wait(2000)
        bench.source.clear()
        await reset()
        bench.flush()
        for sink in bench.sinks:
            sink.pause = False
        assert await bench.bits("STATUS") == bench.idle
        await bench.right()
        assert await bench.read("FRAMES_OUT") == len(bench.job.images)


@scenario()
async def a_reset_in_the_middle_of_a_frame_begins_anew(bench: Bench) -> None:
    for _ in range(6):
        for image in bench.job.images:
            await bench.send(image)
        await bench.wait(bench.rng.randrange(20, 2 * bench.job.latency))
        bench.source.clear()
        await bench.reset(cycles=bench.rng.choice((1, 3)))
        bench.flush()
        assert await bench.read("FRAMES_IN") == 0
        assert await bench.read("CYCLES_LO") < 200
        assert await bench.bits("ERRORS") == set()
        await bench.right()


@scenario()
async def a_soft_reset_in_the_middle_of_a_frame_begins_anew(bench: Bench) -> None:
    for _ in range(6):
        for image in bench.job.images:
            await bench.send(image)
        await bench.wait(bench.rng.randrange(20, 2 * bench.job.latency))
        await bench.soft_reset()
        assert await bench.read("FRAMES_IN") == 0
        assert await bench.bits("ERRORS") == set()
        await bench.right()


@scenario()
async def after_a_soft_reset_a_producer_that_goes_on_finds_its_way_back(bench: Bench) -> None:
    images = bench.job.images
    await bench.send(images[0])
    while not await bench.bits("STATUS") & {"BUSY"}:
        pass
    bench.source.clear_pause_generator()
    bench.source.pause = True
    await bench.soft_reset(source=False)
    bench.source.pause = False
    await bench.send(images[1])
    await bench.expect(bench.job.own, None, user=1)
    await bench.expect(bench.job.own, 1)
    assert await bench.bits("ERRORS") == {"SHORT_FRAME"}
    assert await bench.read("FRAMES_IN") == 2
    await bench.right()
