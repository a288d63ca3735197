"""Queues where branches part: deep enough, and no deeper."""

import numpy as np
import pytest

from systolith.fuzz import random_residual_network
from systolith.plan import ForkPlan, NetworkPlan, plan_network, timeline
from systolith.plan.fork_plan import DEEP
from systolith.plan.queues import FRAMES, LEAST_DEPTH

SEEDS = range(40)


def _plan(seed: int) -> NetworkPlan:
    budget = int(np.random.default_rng(seed).integers(6, 100))
    return plan_network(random_residual_network(seed), multipliers=budget)


def _forks(plan: NetworkPlan) -> list[ForkPlan]:
    return [stage for stage in plan.stages if isinstance(stage, ForkPlan)]


def _ends(plan: NetworkPlan, fork: ForkPlan) -> int | None:
    """When the last frame leaves with this fork in place of its namesake; None if it never does."""
    stages = [fork if stage.name == fork.name else stage for stage in plan.stages]
    try:
        return timeline(plan.graph.replaced(stages), FRAMES).last_output[-1]
    except RuntimeError:
        return None


@pytest.mark.parametrize("seed", SEEDS)
def test_queues_are_sufficient_and_each_is_minimal(seed: int) -> None:
    plan = _plan(seed)
    end = timeline(plan.graph, FRAMES).last_output[-1]
    for fork in _forks(plan):
        for branch, depth in enumerate(fork.depths):
            deepest = 10_000 if depth >= DEEP else DEEP - 1
            assert _ends(plan, fork.with_depth(branch, deepest)) == end
            if depth > LEAST_DEPTH:
                later = _ends(plan, fork.with_depth(branch, depth - 1))
                assert later is None or later > end


def test_some_branches_need_deep_queues() -> None:
    depths = [depth for seed in SEEDS for fork in _forks(_plan(seed)) for depth in fork.depths]
    assert sum(depth > LEAST_DEPTH for depth in depths) >= 15
    assert max(depths) > 16


@pytest.mark.parametrize("seed", SEEDS)
def test_no_queue_ever_holds_more_than_its_depth(seed: int) -> None:
    plan = _plan(seed)
    held = timeline(plan.graph, FRAMES).most_queued
    for fork in _forks(plan):
        assert all(most <= depth for most, depth in zip(held[fork.name], fork.depths, strict=True))
