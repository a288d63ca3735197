"""Depths of queues: sufficient and minimal."""

from dataclasses import replace

import numpy as np
import pytest

from systolith.network import ActType, Add, Conv2d, IntegerNetwork, Requantize, Tensor
from systolith.plan import ArrayShape, ForkPlan, NetworkPlan, compute_timeline, plan_network
from systolith.plan.cycles.queues import FRAMES
from systolith.plan.streams.fork_plan import DEEP, LEAST_DEPTH
from tests.support.random_networks import random_residual_network

SEEDS = range(40)
CLOSE_CALLS = (47, 59, 249)
"""Seeds of networks where one transfer less costs a few cycles over all frames."""
DEEPEST = 10_000
U8 = ActType(bits=8, signed=False)
HALVE = Requantize(multiplier=np.array([1]), shift=np.array([1]))


def _plan(seed: int) -> NetworkPlan:
    budget = int(np.random.default_rng(seed).integers(6, 100))
    return plan_network(random_residual_network(seed), multipliers=budget)


def _forks(plan: NetworkPlan) -> list[ForkPlan]:
    return [stage for stage in plan.stages if isinstance(stage, ForkPlan)]


def _ends(plan: NetworkPlan, fork: ForkPlan) -> int | None:
    """Cycle in which the last frame leaves with this fork; None if the pipeline deadlocks."""
    stages = [fork if stage.name == fork.name else stage for stage in plan.stages]
    try:
        return compute_timeline(plan.graph.with_stages(stages), FRAMES).last_output[-1]
    except RuntimeError:
        return None


def _assert_sufficient_and_minimal(plan: NetworkPlan) -> None:
    """Check that deeper queues are no faster, and that one shallower queue is slower."""
    end = compute_timeline(plan.graph, FRAMES).last_output[-1]
    deepest = [
        replace(stage, depths=tuple(DEEPEST if deep else DEEP - 1 for deep in stage.deep))
        if isinstance(stage, ForkPlan)
        else stage
        for stage in plan.stages
    ]
    assert compute_timeline(plan.graph.with_stages(deepest), FRAMES).last_output[-1] == end
    for fork in _forks(plan):
        for branch, depth in enumerate(fork.depths):
            in_block_memory = _ends(plan, fork.with_depth(branch, DEEPEST))
            assert in_block_memory is not None and in_block_memory >= end
            if depth >= DEEP:
                assert in_block_memory == end
            else:
                assert _ends(plan, fork.with_depth(branch, DEEP - 1)) == end
            if depth > LEAST_DEPTH:
                later = _ends(plan, fork.with_depth(branch, depth - 1))
                assert later is None or later > end


@pytest.mark.parametrize("seed", [*SEEDS, *CLOSE_CALLS])
def test_queues_are_sufficient_and_each_is_minimal(seed: int) -> None:
    _assert_sufficient_and_minimal(_plan(seed))


def _convolution(
    name: str, source: str, shape: tuple[int, ...], padding: tuple[int, int, int, int]
) -> Conv2d:
    return Conv2d(
        name=name,
        input=source,
        weight=np.ones(shape, int),
        bias=np.zeros(shape[0], int),
        requantize=HALVE,
        output=U8,
        padding=padding,
    )


def _sum(name: str, one: str, other: str) -> Add:
    return Add(name=name, inputs=(one, other), multipliers=(1, 1), requantize=HALVE, output=U8)


def _plan_around_two_convolutions(
    size: tuple[int, int],
    filters: int,
    down: int,
    kernel: tuple[int, int],
    arrays: dict[str, ArrayShape],
) -> NetworkPlan:
    """Add the input to the result of two convolutions, with a fork between these."""
    rows, columns = kernel
    layers = (
        _convolution("first", "input", (filters, 1, down, 1), (down - 1, 0, 0, 0)),
        _sum("twice", "first", "first"),
        _convolution("second", "twice", (1, filters, *kernel), (1, rows - 2, columns - 1, 0)),
        _sum("sum", "second", "input"),
    )
    network = IntegerNetwork(input=Tensor((1, *size), U8), layers=layers)
    return plan_network(network, arrays=arrays)


def test_a_quicker_queue_elsewhere_needs_a_deeper_one_here() -> None:
    """Sizing with all queues in block memory would make the first one transfer too shallow."""
    arrays = {"first": ArrayShape(rows=2, columns=4), "second": ArrayShape(rows=24, columns=1)}
    plan = _plan_around_two_convolutions((4, 5), 4, 4, (4, 3), arrays)
    assert [fork.depths for fork in _forks(plan)] == [(2, 57), (2, 2)]
    _assert_sufficient_and_minimal(plan)


def test_a_queue_that_registers_make_too_shallow_is_in_block_memory() -> None:
    """The queue is slower in registers, but only if its neighbour is in registers, too."""
    arrays = {"first": ArrayShape(rows=5, columns=1), "second": ArrayShape(rows=16, columns=1)}
    plan = _plan_around_two_convolutions((4, 7), 2, 5, (5, 3), arrays)
    assert [fork.depths for fork in _forks(plan)] == [(2, DEEP), (2, 2)]
    _assert_sufficient_and_minimal(plan)


def test_some_branches_need_deep_queues() -> None:
    depths = [depth for seed in SEEDS for fork in _forks(_plan(seed)) for depth in fork.depths]
    assert sum(depth > LEAST_DEPTH for depth in depths) >= 15
    assert max(depths) > 16


@pytest.mark.parametrize("seed", SEEDS)
def test_no_queue_ever_holds_more_than_its_depth(seed: int) -> None:
    plan = _plan(seed)
    held = compute_timeline(plan.graph, FRAMES).most_queued
    for fork in _forks(plan):
        assert all(most <= depth for most, depth in zip(held[fork.name], fork.depths, strict=True))
