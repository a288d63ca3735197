"""The cycle model by itself; tests of pipelines compare it with hardware."""

from dataclasses import replace
from itertools import pairwise

import pytest

from systolith.network import ActType, Tensor
from systolith.plan import (
    BUFFER_LATENCY,
    GearboxPlan,
    NetworkPlan,
    PoolPlan,
    StageGraph,
    Window,
    WindowedEngine,
    compute_timeline,
    plan_network,
)
from tests.support.random_networks import random_network

U4 = ActType(bits=4, signed=False)


def _pool(channels: int, lanes: int, depth: int = 64) -> PoolPlan:
    window = Window(height=4, width=4, kernel=(2, 2), stride=(2, 2))
    return PoolPlan(
        name="pool",
        window=window,
        input=Tensor((channels, 4, 4), U4),
        output=Tensor((channels, 2, 2), U4),
        buffer_depth=depth,
        lanes=lanes,
    )


def _gearbox(channels: int, lanes_in: int, lanes_out: int) -> GearboxPlan:
    tensor = Tensor((channels, 2, 2), U4)
    return GearboxPlan(name="gearbox", tensor=tensor, lanes_in=lanes_in, lanes_out=lanes_out)


def test_one_frame_by_hand() -> None:
    # Pixel 5 completes the first window in cycle 5; the fourth window's pixel 15 comes in cycle 15
    # and its four taps follow two cycles later. Then come `latency` and the output buffer's cycles.
    pool = _pool(channels=1, lanes=1)
    run = compute_timeline(StageGraph.chain([pool]), 1)
    assert run.first_input == (0,)
    # Third window: pixel 13 arrives in cycle 13, steps 16..19; the fourth has to wait for them.
    assert run.last_output == (20 + 3 + pool.latency + BUFFER_LATENCY,)
    assert run.latency == run.cycles == run.last_output[0] + 1


@pytest.mark.parametrize(
    ("lanes_in", "lanes_out", "channels", "latency"),
    [
        (1, 4, 4, 3 + 1 + 3 * 4),  # four in, one out, four pixels
        (4, 1, 4, 0 + 2 + 4 * 4 - 1),
        (2, 6, 5, 2 + 1 + 3 * 3),
        (6, 2, 5, 0 + 2 + 4 * 3 - 1),
        (4, 4, 4, 0 + 1 + 3),
    ],
)
def test_a_gearbox_by_hand(lanes_in: int, lanes_out: int, channels: int, latency: int) -> None:
    run = compute_timeline(StageGraph.chain([_gearbox(channels, lanes_in, lanes_out)]), 1)
    assert run.last_output == (latency,)


def test_a_pipeline_runs_at_the_pace_of_its_slowest_stage() -> None:
    wide, narrow = (
        _pool(8, 4),
        replace(_pool(8, 8), window=Window(height=2, width=2, kernel=(2, 2))),
    )
    narrow = replace(narrow, name="narrow", output=Tensor((8, 1, 1), U4))
    stages = [wide, _gearbox(8, 4, 8), narrow]
    ends = compute_timeline(StageGraph.chain(stages), 20).last_output
    assert {later - earlier for earlier, later in pairwise(ends[-6:])} == {wide.cycles}


def test_a_buffer_too_small_for_its_window_deadlocks() -> None:
    with pytest.raises(RuntimeError, match=r"^the pipeline deadlocks after 0 of 4 outputs$"):
        compute_timeline(StageGraph.chain([_pool(1, 1, depth=4)]), 1)


@pytest.mark.parametrize("seed", [1066, 1131, 1154, 1338, *range(4)])
def test_cycles_are_exact_when_intervals_alternate_or_not(seed: int) -> None:
    plan = plan_network(random_network(seed, 4), multipliers=40)
    stages = tuple(
        replace(
            stage,
            buffer_depth=1 << max(1, (stage.window.span * stage.words_per_pixel - 1).bit_length()),
        )
        if isinstance(stage, WindowedEngine)
        else stage
        for stage in plan.stages
    )
    tight = NetworkPlan(network=plan.network, graph=plan.graph.with_stages(stages))
    for frames in (1, 7, 33):
        assert tight.cycles(frames) == compute_timeline(tight.graph, frames).cycles
    assert tight.cycles(299) == compute_timeline(tight.graph, 299).cycles
