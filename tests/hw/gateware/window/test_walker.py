"""Counters that follow a window, against its geometry."""

from amaranth.hdl import Elaboratable
from amaranth.sim import Simulator
from hypothesis import example, given, settings

from systolith.gateware import FreedCounter, WindowWalker
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
    seen: list[tuple[int, int, int, int]] = []
    expected = []
    for number, pixels in enumerate(needed):
        frame, pixel = divmod(number, rows * columns)
        row, column = divmod(pixel, columns)
        origin = frame * window.input_pixels + window.origin(row, column)
        inside_rows = [0 <= row * sh - top + tap * dh < window.height for tap in range(kh)]
        inside_columns = [0 <= column * sw - left + tap * dw < window.width for tap in range(kw)]
        expected.append(
            (
                origin * plan.words_per_pixel % plan.buffer_depth,
                pixels % (1 << plan.position_bits),
                sum(inside << tap for tap, inside in enumerate(inside_rows)),
                sum(inside << tap for tap, inside in enumerate(inside_columns)),
            )
        )

    async def bench(ctx):  # type: ignore[no-untyped-def]
        for number in range(len(expected)):
            # A consumer that is not ready must not lose a window.
            ctx.set(dut.o.ready, 0)
            if number % 3 == 0:
                await ctx.tick()
            assert ctx.get(dut.o.valid)
            found = dut.o.payload
            seen.append(
                (
                    ctx.get(found.address),
                    ctx.get(found.needed),
                    ctx.get(found.rows),
                    ctx.get(found.columns),
                )
            )
            ctx.set(dut.o.ready, 1)
            await ctx.tick()

    _simulate(dut, bench)
    assert seen == expected


@settings(max_examples=60, deadline=None)
@given(windows())
@example(WIDE)
def test_counter_gives_room_for_what_the_geometry_frees(window: Window) -> None:
    plan = _plan(window)
    dut = FreedCounter(plan)
    expected = _over_frames(window, list(window.freed()))
    seen: list[int] = []

    async def bench(ctx):  # type: ignore[no-untyped-def]
        seen.append(ctx.get(dut.limit))
        ctx.set(dut.done, 1)
        for _ in expected:
            await ctx.tick()
            seen.append(ctx.get(dut.limit))

    _simulate(dut, bench)
    assert seen == [(plan.capacity + freed) % (1 << plan.position_bits) for freed in [0, *expected]]
