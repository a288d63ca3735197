"""Patterns for a budget: never above it, and close to the best one by enumeration."""

import re
from collections.abc import Mapping
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from systolith.network import Granularity, KOutOfN, Pattern
from systolith.prune import PruneError, allocate_patterns, magnitude_losses, weight_cost

DENSE = Pattern()
HALF, QUARTER = (Pattern(select=KOutOfN(k, 4)) for k in (2, 1))
SHARES = {DENSE: 1.0, HALF: 0.5, QUARTER: 0.25}
Losses = dict[str, dict[Pattern, float]]


def _total(losses: Losses, patterns: Mapping[str, Pattern]) -> float:
    return sum(options[patterns.get(name, DENSE)] for name, options in losses.items())


def _best(losses: Losses, cost: object, budget: float) -> float:
    names = list(losses)
    every = (dict(zip(names, shares, strict=True)) for shares in product(SHARES, repeat=len(names)))
    return min(_total(losses, p) for p in every if cost(p) <= budget)  # type: ignore[operator]


problems = st.lists(
    st.tuples(st.integers(1, 100), st.integers(1, 100), st.integers(1, 100)),
    min_size=1,
    max_size=5,
)


@settings(deadline=None, max_examples=200)
@given(problems, st.floats(0.26, 1.0), st.booleans())
def test_meets_the_budget_at_little_loss(
    layers: list[tuple[int, int, int]], share: float, bottleneck: bool
) -> None:
    sizes = {f"l{i}": size for i, (size, _, _) in enumerate(layers)}
    losses: Losses = {
        f"l{i}": {DENSE: 0.0, HALF: a / 100, QUARTER: (a + b) / 100}
        for i, (_, a, b) in enumerate(layers)
    }

    def cost(patterns: Mapping[str, Pattern]) -> float:
        costs = [size * SHARES[patterns.get(name, DENSE)] for name, size in sizes.items()]
        return max(costs) if bottleneck else sum(costs)

    budget = share * cost({})
    chosen = allocate_patterns(losses, cost, budget)
    assert cost(chosen) <= budget
    greedy, best = _total(losses, chosen), _best(losses, cost, budget)
    # The greedy search wastes at most the last pattern, with which it passed the budget.
    largest = max(options[QUARTER] for options in losses.values())
    assert best <= greedy <= (best if bottleneck else best + largest) + 1e-9


def test_nothing_is_pruned_within_the_budget() -> None:
    losses: Losses = {"a": {DENSE: 0.0, HALF: 0.1}}
    assert allocate_patterns(losses, lambda patterns: 10.0, 10.0) == {}


def test_an_impossible_budget_is_refused_with_the_least() -> None:
    losses: Losses = {"a": {DENSE: 0.0, HALF: 0.1}}
    with pytest.raises(
        PruneError, match=re.escape("budget of 4 cannot be met: the least cost is 5")
    ):
        allocate_patterns(losses, lambda p: 10 * SHARES[p.get("a", DENSE)], 4)


def test_losses_are_the_energy_that_the_best_mask_takes_away() -> None:
    model = nn.Sequential(nn.Linear(4, 1, bias=False))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0, 2.0, 3.0, 4.0]]))
    losses = magnitude_losses(model, {"0": [HALF, QUARTER]})
    assert losses["0"] == {DENSE: 0.0, HALF: pytest.approx(5 / 30), QUARTER: pytest.approx(14 / 30)}


def test_costs_count_what_is_kept() -> None:
    model = nn.Sequential(nn.Conv2d(4, 8, 3, padding=1, bias=False), nn.Flatten(), nn.Linear(32, 2))
    images = torch.zeros(1, 4, 2, 2)
    kernels = Pattern(select=KOutOfN(1, 4, Granularity.KERNEL))
    weights = weight_cost(model, images, macs=False)
    macs = weight_cost(model, images, macs=True)
    assert weights({}) == 4 * 8 * 9 + 64 and macs({}) == 4 * 8 * 9 * 4 + 64
    assert weights({"0": kernels}) == 8 * 9 + 64 and macs({"0": kernels}) == 8 * 9 * 4 + 64
