"""Width changes of streams."""

import random
from math import ceil

import pytest

from systolith.gateware import Gearbox
from systolith.network import ActType, Tensor
from systolith.plan import GearboxPlan
from tests.support.stream_bench import run_stream

WIDTHS = [(1, 4, 4), (1, 4, 6), (1, 4, 3), (2, 8, 12), (4, 1, 4), (4, 1, 6), (4, 2, 6), (8, 4, 3)]
PIXELS = 6


def _transfers(pixels: list[list[int]], lanes: int) -> list[list[int]]:
    return [pixel[i : i + lanes] for pixel in pixels for i in range(0, len(pixel), lanes)]


def _pack(values: list[int]) -> int:
    return sum(value << 5 * lane for lane, value in enumerate(values))


@pytest.mark.parametrize(("gap", "stall"), [(0.0, 0.0), (0.6, 0.0), (0.0, 0.6), (0.4, 0.4)])
@pytest.mark.parametrize(("lanes_in", "lanes_out", "channels"), WIDTHS)
def test_channels_keep_their_order_and_pixels_stay_apart(
    lanes_in: int, lanes_out: int, channels: int, gap: float, stall: float
) -> None:
    act = ActType(bits=5, signed=False)
    plan = GearboxPlan(
        name="g", tensor=Tensor((channels, 2, 3), act), lanes_in=lanes_in, lanes_out=lanes_out
    )
    rng = random.Random(1)
    pixels = [[rng.randrange(32) for _ in range(channels)] for _ in range(PIXELS)]
    expected = _transfers(pixels, lanes_out)
    run = run_stream(
        Gearbox(plan),
        [_pack(values) for values in _transfers(pixels, lanes_in)],
        len(expected),
        gap=gap,
        stall=stall,
    )
    for word, values in zip(run.outputs, expected, strict=True):
        assert [(word >> 5 * lane) & 31 for lane in range(len(values))] == values


@pytest.mark.parametrize(("lanes_in", "lanes_out", "channels"), WIDTHS)
def test_the_narrow_side_never_waits(lanes_in: int, lanes_out: int, channels: int) -> None:
    act = ActType(bits=5, signed=False)
    plan = GearboxPlan(
        name="g", tensor=Tensor((channels, 2, 3), act), lanes_in=lanes_in, lanes_out=lanes_out
    )
    inputs = PIXELS * ceil(channels / lanes_in)
    outputs = PIXELS * ceil(channels / lanes_out)
    run = run_stream(Gearbox(plan), [0] * inputs, outputs)
    assert plan.cycles == max(inputs, outputs)
    narrow = run.input_cycles if lanes_in < lanes_out else run.output_cycles
    assert narrow == list(range(narrow[0], narrow[0] + len(narrow)))
    assert (
        run.output_cycles[0] - run.input_cycles[-(-min(channels, lanes_out) // lanes_in) - 1]
        == plan.latency
    )
