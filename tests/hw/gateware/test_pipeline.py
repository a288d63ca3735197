"""Whole networks in Amaranth's simulator: values, cycles, stalls."""

from dataclasses import replace

import numpy as np
import pytest

from systolith.gateware import Pipeline
from systolith.network import IntegerNetwork, Requantize, Requantized, forward
from systolith.plan import (
    ArrayShape,
    ConvPlan,
    ForkPlan,
    MultiplierKind,
    NetworkPlan,
    WindowedEngine,
    plan_network,
)
from systolith.plan.streams.fork_plan import DEEP
from tests.support.networks import convolution, residual_network
from tests.support.pipeline_bench import Frames, PipelineBench
from tests.support.random_networks import random_images, random_network, random_residual_network
from tests.support.slow import first_few

FRAMES = 3


STALLS = [(0.5, 0.0), (0.0, 0.5), (0.3, 0.3)]
"""Probabilities of gaps in the input and of stalls of the output."""


def _simulate(plan: NetworkPlan, *stalls: tuple[float, float], seed: int) -> Frames:
    """Compare every output, without stalls first: the result is that of this run."""
    images = random_images(plan.network, FRAMES, seed)
    expected = forward(plan.network, images)
    bench = PipelineBench(Pipeline(plan))
    runs = [
        bench.run(images, gap=gap, stall=stall, seed=seed) for gap, stall in [(0.0, 0.0), *stalls]
    ]
    for run in runs:
        np.testing.assert_equal(run.outputs, expected)
    return runs[0]


def _random_plan(seed: int) -> NetworkPlan:
    network = random_network(seed)
    budget = int(np.random.default_rng(seed).integers(4, 100))
    return plan_network(network, multipliers=budget)


@pytest.mark.parametrize("seed", first_few(range(36), 10))
def test_values_and_cycles_are_as_planned(seed: int) -> None:
    plan = _random_plan(seed)
    run = _simulate(plan, STALLS[seed % 3], seed=seed)
    assert run.cycles == plan.cycles(FRAMES)
    assert run.last_output[0] - run.first_input + 1 == plan.latency_cycles


@pytest.mark.parametrize("seed", first_few(range(2), 1))
def test_slopes_take_no_cycle(seed: int) -> None:
    rng = np.random.default_rng(seed)
    layers = []
    network = random_residual_network(seed)
    for layer in network.layers:
        if isinstance(layer, Requantized) and layer.requantize.thresholds is None:
            spec = layer.requantize
            slopes = rng.integers(-1 if seed % 2 else 0, 2, len(spec.multiplier)) * 9 + 4
            negative = spec.multiplier * slopes // 16
            sloped = replace(spec, offset=None, negative=negative, clamp=None)
            layer = replace(layer, requantize=sloped)
        layers.append(layer)
    plan = plan_network(replace(network, layers=tuple(layers)), multipliers=40)
    assert _simulate(plan, (0.3, 0.5), seed=seed).cycles == plan.cycles(FRAMES)


def _tight(plan: NetworkPlan) -> NetworkPlan:
    """Give every window buffer the least depth that a window needs, so that writers wait."""
    stages = []
    for stage in plan.stages:
        if isinstance(stage, WindowedEngine):
            depth = 1 << (stage.window.span * stage.words_per_pixel - 1).bit_length()
            stage = replace(stage, buffer_depth=max(depth, 2))
        stages.append(stage)
    return NetworkPlan(network=plan.network, graph=plan.graph.with_stages(stages))


@pytest.mark.parametrize("seed", first_few(range(60, 84), 8))
def test_cycles_are_exact_when_writers_wait_for_room(seed: int) -> None:
    plan = _tight(_random_plan(seed))
    run = _simulate(plan, seed=seed)
    assert run.cycles == plan.cycles(FRAMES)


def test_tight_buffers_do_make_writers_wait() -> None:
    waiting = [seed for seed in range(60, 84) if _tight(_random_plan(seed)).steady_interval
               > _random_plan(seed).cycles_per_frame]  # fmt: skip
    assert len(waiting) >= 8


CORNERS: dict[str, tuple[int, ArrayShape]] = {
    "one PE": (100, ArrayShape(rows=1, columns=1)),
    "passes shorter than the drain": (101, ArrayShape(rows=9, columns=4, multipliers=2)),
    "rows that divide nothing": (102, ArrayShape(rows=5, columns=3)),
    "three multipliers": (103, ArrayShape(rows=2, columns=2, multipliers=3)),
}


@pytest.mark.parametrize("name", CORNERS)
def test_array_corners(name: str) -> None:
    seed, array = CORNERS[name]
    network = convolution(channels=8, filters=4, size=(4, 5), kept=(3, 4), seed=seed)
    plan = plan_network(network, arrays={"conv": array})
    run = _simulate(plan, (0.3, 0.5), seed=seed)
    assert run.cycles == plan.cycles(FRAMES)


def _random_residual_plan(seed: int) -> NetworkPlan:
    network = random_residual_network(seed)
    budget = int(np.random.default_rng(seed).integers(6, 100))
    return plan_network(network, multipliers=budget)


@pytest.mark.parametrize("seed", first_few(range(36), 6))
def test_branches_meet_with_values_and_cycles_as_planned(seed: int) -> None:
    plan = _random_residual_plan(seed)
    run = _simulate(plan, STALLS[seed % 3], seed=seed)
    assert run.cycles == plan.cycles(FRAMES)


@pytest.mark.parametrize("seed", first_few((0, 2, 4, 6, 1, 3, 5, 7), 4))
def test_shallower_queues_are_slower_and_the_model_knows(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("systolith.plan.streams.fork_plan.DEEP", 2 if seed % 2 else DEEP)
    plan = _random_residual_plan(seed)
    for fork in [stage for stage in plan.stages if isinstance(stage, ForkPlan)]:
        for branch, depth in enumerate(fork.depths):
            if depth == 2:
                continue
            shallow = fork.with_depth(branch, depth - 1)
            stages = [shallow if stage is fork else stage for stage in plan.stages]
            tight = NetworkPlan(network=plan.network, graph=plan.graph.with_stages(stages))
            try:
                cycles = tight.cycles(FRAMES)
            except RuntimeError:
                continue
            run = _simulate(tight, seed=seed)
            assert run.cycles == cycles


@pytest.mark.parametrize("seed", first_few(range(8), 4))
def test_cycles_are_exact_with_queues_in_block_memory(seed: int) -> None:
    plan = _random_residual_plan(seed)
    stages = [
        replace(stage, depths=tuple(DEEP + depth for depth in stage.depths))
        if isinstance(stage, ForkPlan)
        else stage
        for stage in plan.stages
    ]
    deep = NetworkPlan(network=plan.network, graph=plan.graph.with_stages(stages))
    assert _simulate(deep, (0.3, 0.3), seed=seed).cycles == deep.cycles(FRAMES)


@pytest.mark.parametrize("seed", first_few(range(100, 112), 4))
def test_cycles_are_exact_with_multipliers_of_adders(seed: int) -> None:
    plan = _random_residual_plan(seed) if seed % 3 == 0 else _random_plan(seed)
    stages = [
        replace(stage, multiplier_kind=MultiplierKind.LUT) if isinstance(stage, ConvPlan) else stage
        for stage in plan.stages
    ]
    soft = NetworkPlan(network=plan.network, graph=plan.graph.with_stages(stages))
    assert _simulate(soft, seed=seed).cycles == soft.cycles(FRAMES)


@pytest.mark.parametrize("multiplier", [0, 1, 2])
@pytest.mark.parametrize("reloadable", [False, True])
def test_cycles_are_exact_whatever_scales(multiplier: int, reloadable: bool) -> None:
    """Only multipliers of 1 need no multiplication: zeros take the latency of a multiplier."""
    plan = plan_network(_scaled_by(residual_network(), multiplier), reloadable=reloadable)
    assert _simulate(plan, seed=multiplier).cycles == plan.cycles(FRAMES)


def _scaled_by(network: IntegerNetwork, multiplier: int) -> IntegerNetwork:
    requantize = Requantize(multiplier=np.array([multiplier]), shift=np.array([6]))
    layers = (
        replace(layer, requantize=requantize) if hasattr(layer, "requantize") else layer
        for layer in network.layers
    )
    return replace(network, layers=tuple(layers))
