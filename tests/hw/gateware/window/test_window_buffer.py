"""Writer, sequencer and reader of a window buffer, each by itself."""

import random
from dataclasses import replace

import pytest

from systolith.gateware import RowReader, Sequencer, WindowWriter, tap_table
from systolith.gateware.activations import act_word
from systolith.network import ActType, Tensor
from systolith.plan import ArrayShape, ConvPlan, PoolPlan, Tap, Window, plan_network, row_taps
from tests.support.networks import convolution
from tests.support.stream_bench import simulate

U8 = ActType(bits=8, signed=False)


def _conv(rows: int = 4, columns: int = 2) -> ConvPlan:
    network = convolution(channels=12, filters=5, size=(3, 4), kept=(2, 3))
    array = ArrayShape(rows=rows, columns=columns)
    (plan,) = plan_network(network, arrays={"conv": array}).convolutions
    return plan


def _pool() -> PoolPlan:
    window = Window(height=3, width=3, kernel=(2, 2))
    tensor = Tensor((4, 2, 2), U8)
    return PoolPlan(
        name="pool", window=window, input=tensor, output=tensor, buffer_depth=16, lanes=2
    )


@pytest.mark.parametrize("per_transfer", [1, 2, 4])
def test_writer_deals_transfers_to_the_banks_in_turn(per_transfer: int) -> None:
    plan = replace(_conv(rows=4), groups_per_transfer=per_transfer)
    assert plan.banks == 4 and plan.words_per_pixel == 1
    dut = WindowWriter(plan, U8)
    turns = plan.banks // per_transfer
    seen, arrived = [], []

    async def bench(ctx):  # type: ignore[no-untyped-def]
        for number in range(5 * turns + 2):
            if number > 0:
                arrived.append(ctx.get(dut.arrives))
            if number > 1:
                assert list(ctx.get(dut.word)) == [(number - 2) % 256] * plan.lanes_in
                seen.append((ctx.get(dut.write), ctx.get(dut.address)))
            assert ctx.get(dut.i.ready)
            ctx.set(dut.i.valid, number < 5 * turns)
            ctx.set(dut.i.payload, [number % 256] * plan.lanes_in)
            await ctx.tick()
        assert ctx.get(dut.write) == 0

    simulate(dut, bench)
    mask = (1 << per_transfer) - 1
    assert seen == [
        (mask << turn * per_transfer, pixel) for pixel in range(5) for turn in range(turns)
    ]
    assert arrived == [*(number % turns == 0 for number in range(1, 5 * turns + 1)), 0]


def test_writer_stops_when_full_and_goes_on_when_a_pixel_is_freed() -> None:
    plan = _pool()
    dut = WindowWriter(plan, U8)
    taken: list[int] = []

    async def bench(ctx):  # type: ignore[no-untyped-def]
        ctx.set(dut.i.valid, 1)
        for cycle in range(30):
            ctx.set(dut.done, cycle == 25)
            if ctx.get(dut.i.ready):
                taken.append(cycle)
            await ctx.tick()

    simulate(dut, bench)
    # The first window frees one pixel of two words; FreedPixels and writer take a cycle each.
    assert plan.capacity == 8 and list(plan.window.freed())[0] == 1
    assert taken == [*range(16), 27, 28]


def test_sequencer_waits_for_pixels_and_room_and_then_for_nothing() -> None:
    plan = _conv()
    dut, rng = Sequencer(plan), random.Random(3)
    needed = list(plan.window.needed()) * 2
    frames = [frame for frame in (0, 1) for _ in plan.window.needed()]
    steps: list[tuple[int, ...]] = []
    waited: list[bool] = []

    async def bench(ctx):  # type: ignore[no-untyped-def]
        arrived, seen, written, issued = 0, 0, 0, 0
        wanted = len(needed) * plan.steps
        while len(steps) < wanted:
            room = rng.random() < 0.7
            ctx.set(dut.room, room)
            pixel, step = divmod(issued, plan.steps)
            start = ctx.get(dut.start)
            if issued < wanted and step % plan.pass_cycles == 0:
                ready = seen >= needed[pixel] + frames[pixel] * plan.window.input_pixels
                assert bool(start) == (ready and room), "a pass starts as soon as it can"
                waited.append(ready and not room)
                issued += start
            else:
                assert not start
                issued += 1
            # A window counts two cycles after it has arrived.
            seen, written = written, arrived
            arrives = rng.random() < 0.1
            arrived += arrives
            ctx.set(dut.arrives, arrives)
            await ctx.tick()
            if issued > len(steps):
                found = dut.step
                steps.append(
                    tuple(
                        ctx.get(field)
                        for field in (found.fold, found.word, found.number, found.first,
                                      found.last, found.done)
                    )
                )  # fmt: skip
            else:
                assert not ctx.get(dut.step.last) and not ctx.get(dut.step.done)

    simulate(dut, bench)
    assert any(waited), "room was missing at least once"
    expected = [
        (
            fold,
            (number * plan.folds + fold) * plan.slot_folds + slot,
            number,
            int(fold == slot == 0),
            int(fold == plan.folds - 1 and slot == plan.slot_folds - 1),
            int(word == plan.steps - 1),
        )
        for word in range(plan.steps)
        for number, rest in [divmod(word, plan.pass_cycles)]
        for fold, slot in [divmod(rest, plan.slot_folds)]
    ]
    assert steps == expected * len(needed)


@pytest.mark.parametrize("row", range(4))
def test_reader_finds_its_taps_and_fills_the_padding(row: int) -> None:
    plan = _conv(rows=4)
    taps, layout = row_taps(plan, row), act_word(U8, plan.group)
    dut, rng = RowReader(plan, layout, tap_table(plan, taps), fill=77), random.Random(row)
    contents = [[rng.randrange(256) for _ in range(plan.group)] for _ in range(plan.buffer_depth)]
    steps = [
        (rng.randrange(plan.buffer_depth), rng.randrange(8), rng.randrange(8), fold)
        for fold in [*range(plan.folds)] * 6
    ]
    found: list[list[int]] = []

    async def bench(ctx):  # type: ignore[no-untyped-def]
        ctx.set(dut.write, 1)
        for address, word in enumerate(contents):
            ctx.set(dut.address, address)
            ctx.set(dut.word, word)
            await ctx.tick()
        ctx.set(dut.write, 0)
        for cycle in range(len(steps) + RowReader.LATENCY):
            if cycle < len(steps):
                address, rows, columns, fold = steps[cycle]
                ctx.set(dut.step.address, address)
                ctx.set(dut.step.rows, rows)
                ctx.set(dut.step.columns, columns)
                ctx.set(dut.step.fold, fold)
            if cycle >= RowReader.LATENCY:
                found.append([ctx.get(dut.acts[lane]) for lane in range(plan.group)])
            await ctx.tick()

    simulate(dut, bench)
    expected = []
    for address, rows, columns, fold in steps:
        tap = taps[fold]
        offset = (tap.row * plan.window.width + tap.column) * plan.words_per_pixel + tap.word
        inside = rows >> tap.row & 1 and columns >> tap.column & 1
        expected.append(
            contents[(address + offset) % plan.buffer_depth] if inside else [77] * plan.group
        )
    assert found == expected


def test_reader_of_a_pool_reads_a_word_per_pass() -> None:
    plan = _pool()
    taps = [Tap(row, column, 0) for row, column in plan.window.positions]
    dut = RowReader(plan, act_word(U8, 2), tap_table(plan, taps), fill=0, words=plan.passes)
    found = []

    async def bench(ctx):  # type: ignore[no-untyped-def]
        ctx.set(dut.write, 1)
        for address in range(plan.buffer_depth):
            ctx.set(dut.address, address)
            ctx.set(dut.word, [address, 100 + address])
            await ctx.tick()
        ctx.set(dut.step.rows, 3)
        ctx.set(dut.step.columns, 3)
        ctx.set(dut.step.fold, 3)
        ctx.set(dut.step.address, 2)
        for number in (0, 1):
            ctx.set(dut.step.number, number)
            await ctx.tick().repeat(RowReader.LATENCY)
            found.append([ctx.get(dut.acts[lane]) for lane in (0, 1)])

    simulate(dut, bench)
    # Tap (1, 1) of a 3 pixels wide image: four pixels on, two words each.
    assert found == [[10, 110], [11, 111]]
