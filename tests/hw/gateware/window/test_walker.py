"""Counters that follow a window, against its geometry."""

from amaranth.hdl import Elaboratable
from amaranth.sim import Simulator
from hypothesis import example, given, settings

from systolith.gateware import FreedPixels, WindowWalker
from systolith.network import ActType, Tensor
from systolith.plan import PoolPlan, Window
from tests.support.windows import windows

FRAMES = 3
WIDE = Window(height=3, width=4, kernel=(3, 3), padding=(2, 2, 2, 2))


def _plan(window: Window) -> PoolPlan:
    """Two words per pixel, so that addresses and pixels differ."""
    tensor = Tensor((2, *window.output_size), ActType(bits=4, signed=False))
    return PoolPlan(
        name="pool", window=window, input=tensor, output=tensor, buffer_depth=256, lanes=1
    )


def _simulate(dut: Elaboratable, bench: object) -> None:
    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


def _over_frames(window: Window, pixels: list[int]) -> list[int]:
    return [frame * window.input_pixels + pixel for frame in range(FRAMES) for pixel in pixels]


@settings(max_examples=60, deadline=None)
@given(windows())
@example(WIDE)
def test_walker_describes_every_window(window: Window) -> None:
    plan = _plan(window)
    dut = WindowWalker(plan)
    rows, columns = window.output_size
    (kh, kw), (dh, dw) = window.kernel, window.dilation
    (sh, sw), (top, _, left, _) = window.stride, window.padding
    needed = _over_frames(window, list(window.needed()))
    seen: list[tuple[int, int, int]] = []
    expected = []
    for number in range(len(needed)):
        frame, pixel = divmod(number, rows * columns)
        row, column = divmod(pixel, columns)
        origin = frame * window.input_pixels + window.origin(row, column)
        inside_rows = [0 <= row * sh - top + tap * dh < window.height for tap in range(kh)]
        inside_columns = [0 <= column * sw - left + tap * dw < window.width for tap in range(kw)]
        expected.append(
            (
                origin * plan.words_per_pixel % plan.buffer_depth,
                sum(inside << tap for tap, inside in enumerate(inside_rows)),
                sum(inside << tap for tap, inside in enumerate(inside_columns)),
            )
        )

    async def bench(ctx):  # type: ignore[no-untyped-def]
        arrived = cycle = 0
        while len(seen) < len(expected):
            valid = ctx.get(dut.o.valid)
            assert valid == (arrived >= needed[len(seen)]), "a window is offered once it is there"
            # A consumer that is not ready must not lose a window.
            ready = cycle % 3 > 0
            ctx.set(dut.o.ready, ready)
            if valid and ready:
                fields = dut.o.payload
                seen.append(
                    (ctx.get(fields.address), ctx.get(fields.rows), ctx.get(fields.columns))
                )
            # Some windows arrive before the one in front of them has left.
            arrives = arrived < max(needed[len(seen) : len(seen) + 2], default=0)
            ctx.set(dut.arrives, arrives)
            arrived += arrives
            cycle += 1
            await ctx.tick()

    _simulate(dut, bench)
    assert seen == expected


@settings(max_examples=60, deadline=None)
@given(windows())
@example(WIDE)
def test_each_window_frees_what_the_geometry_says(window: Window) -> None:
    plan = _plan(window)
    dut = FreedPixels(plan)
    expected = _over_frames(window, list(window.freed()))
    seen: list[int] = []

    async def bench(ctx):  # type: ignore[no-untyped-def]
        freed = 0
        for number in range(2 * len(expected)):
            ctx.set(dut.done, number % 2)
            await ctx.tick()
            freed -= ctx.get(dut.freed)
            seen.append(freed)

    _simulate(dut, bench)
    assert seen[1::2] == expected
    assert seen[2::2] == expected[:-1], "a window that is not done frees nothing"
