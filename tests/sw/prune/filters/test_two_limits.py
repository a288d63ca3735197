"""Budgets with two limits: both are met, one closely, and scores are divided by what both count."""

import re
from collections.abc import Mapping

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from systolith.models import resnet20
from systolith.prune import PruneError
from systolith.prune.filters import (
    GDP,
    ChannelGroup,
    FilterBudget,
    FilterMasks,
    FilterScore,
    KeptCost,
    TaylorGates,
    divide_by_costs,
    find_channel_groups,
    macs_after,
    parameters_after,
    score_filters,
    select_filters,
    uniform_filters,
    unit_costs,
)
from tests.sw.prune.filters.small_models import bare_group
from tests.sw.prune.filters.training import IMAGES, network, optimizer_of, train


def _chain(sizes: Mapping[str, int], pixels: list[int]) -> KeptCost:
    """Cost of 1x1 convolutions in a row, with outputs of these numbers of pixels."""

    def cost(kept: Mapping[str, int]) -> float:
        widths = [3, *({**sizes, **kept}.values()), 10]
        pairs = zip(widths, widths[1:], [*pixels, 1], strict=False)
        return float(sum(before * after * size for before, after, size in pairs))

    return cost


def _select(
    groups: list[ChannelGroup], scores: dict[str, Tensor], budget: FilterBudget
) -> FilterMasks:
    cost = budget.ranking_cost
    assert cost is not None
    sizes = {group.name: group.size for group in groups}
    return select_filters(groups, divide_by_costs(scores, unit_costs(sizes, cost)), budget)


@given(
    st.lists(
        st.tuples(st.integers(4, 24), st.sampled_from([1, 4, 16, 64])), min_size=1, max_size=5
    ),
    st.tuples(st.floats(0.2, 1), st.floats(0.2, 1)),
    st.integers(1, 4),
    st.integers(0, 2**16),
)
@settings(max_examples=200, deadline=None)
def test_both_limits_are_met_and_one_within_a_portion(
    layers: list[tuple[int, int]], keep: tuple[float, float], lanes: int, seed: int
) -> None:
    groups = [bare_group(str(place), size) for place, (size, _) in enumerate(layers)]
    sizes = {group.name: group.size for group in groups}
    costs = (_chain(sizes, [pixels for _, pixels in layers]), _chain(sizes, [1] * len(layers)))
    generator = torch.Generator().manual_seed(seed)
    scores = {name: torch.rand(size, generator=generator) for name, size in sizes.items()}
    budget = FilterBudget(keep=keep, cost=costs, multiple_of=lanes)
    limits = [share * cost({}) for share, cost in zip(keep, costs, strict=True)]
    try:
        kept = _select(groups, scores, budget).kept
    except PruneError as error:
        fewest = {name: min(lanes, size) for name, size in sizes.items()}
        exceeded = [share for share, c, m in zip(keep, costs, limits, strict=True) if c(fewest) > m]
        assert len(error.problems) == len(exceeded) > 0
        return
    assert all(cost(kept) <= most * (1 + 1e-9) for cost, most in zip(costs, limits, strict=True))
    more = [
        {**kept, name: min(-(-(count + 1) // lanes) * lanes, sizes[name])}
        for name, count in kept.items()
        if count < sizes[name]
    ]
    assert not more or any(
        cost(wider) > most for wider in more for cost, most in zip(costs, limits, strict=True)
    )


def test_scores_are_divided_by_what_both_limits_count() -> None:
    # Each filter of `a` costs four MACs and a parameter, each of `b` a MAC and four parameters.
    groups = [bare_group("a", 64), bare_group("b", 64)]

    def macs(kept: Mapping[str, int]) -> float:
        return 4 * kept.get("a", 64) + kept.get("b", 64)

    def parameters(kept: Mapping[str, int]) -> float:
        return kept.get("a", 64) + 4 * kept.get("b", 64)

    scores = {"a": torch.linspace(1, 2, 64), "b": torch.linspace(1, 2, 64)}
    kept = _select(groups, scores, FilterBudget(keep=(0.5, 0.5), cost=(macs, parameters))).kept
    assert min(macs(kept), parameters(kept)) > 0.95 * max(macs(kept), parameters(kept))
    by_macs = divide_by_costs(scores, unit_costs({"a": 64, "b": 64}, macs))
    one_sided = select_filters(groups, by_macs, FilterBudget(keep=0.5, cost=parameters)).kept
    assert macs(one_sided) < 0.7 * 0.5 * macs({})
    # A limit that allows more counts less.
    loose = FilterBudget(keep=(0.5, 1.0), cost=(macs, parameters)).ranking_cost
    assert loose is not None
    costs = unit_costs({"a": 64, "b": 64}, loose)
    assert costs["a"] / costs["b"] == pytest.approx((4 / 0.5 + 1) / (1 / 0.5 + 4))


def test_a_deep_network_uses_what_both_limits_allow() -> None:
    model, images = resnet20().eval(), torch.zeros(1, 3, 32, 32)
    groups = find_channel_groups(model, images)
    costs = macs_after(model, groups, images), parameters_after(model, groups, images)
    keep = (0.36, 0.40)
    budget = FilterBudget(keep=keep, cost=costs, min_filters=4, multiple_of=4)
    removable = [group for group in groups if group.removable]
    scores = score_filters(model, groups, FilterScore.RANDOM)
    kept = _select(removable, dict(scores), budget).kept
    used = [cost(kept) / share / cost({}) for cost, share in zip(costs, keep, strict=True)]
    # By MACs or by parameters alone, one limit is used to 0.64 or 0.28 of what it allows.
    assert 0.9 < max(used) <= 1 and min(used) > 0.75


def test_one_limit_in_a_tuple_is_that_limit() -> None:
    groups = find_channel_groups(network(), IMAGES)
    cost = macs_after(network(), groups, IMAGES)
    one, same = (FilterBudget(keep=k, cost=c) for k, c in ((0.5, cost), ((0.5,), (cost,))))
    assert uniform_filters(groups, one) == uniform_filters(groups, same)
    assert one.ranking_cost is cost and FilterBudget(keep=0.5).ranking_cost is None


def test_sparsifiers_end_within_both_limits() -> None:
    model = network()
    groups = find_channel_groups(model, IMAGES)
    costs = macs_after(model, groups, IMAGES), parameters_after(model, groups, IMAGES)
    for keep in ((0.5, 0.9), (0.9, 0.5), (0.6, 0.6)):
        budget = FilterBudget(keep=keep, cost=costs)
        for sparsifier in (
            GDP(groups, budget, interval=1, begin=0.0),
            TaylorGates(groups, budget, batches=1, per_round=1),
        ):
            model = network()
            list(train(model, sparsifier, optimizer_of(model)))
            kept = sparsifier.filters(model).kept
            assert all(c(kept) <= share * c({}) for c, share in zip(costs, keep, strict=True))
            assert budget.is_met(sparsifier.filters(model))


def test_a_relaxed_budget_relaxes_every_limit() -> None:
    costs = (lambda kept: 1.0, lambda kept: 2.0)
    budget = FilterBudget(keep=(0.25, 0.04), cost=costs)
    assert budget.relaxed(lambda share: share**0.5) == FilterBudget(keep=(0.5, 0.2), cost=costs)


def test_every_limit_that_cannot_be_met_is_named() -> None:
    groups = [bare_group("a", 8)]
    costs = (lambda kept: float(kept["a"]), lambda kept: 3.0 * kept["a"])
    least = "but with min_filters=4 and multiple_of=1 it is at least"
    message = (
        f"2 problems:\n  - keep=0.25 allows a cost of 2, {least} 4"
        f"\n  - keep=0.125 allows a cost of 3, {least} 12"
    )
    with pytest.raises(PruneError, match=f"^{re.escape(message)}$"):
        select_filters(
            groups,
            {"a": torch.ones(8)},
            FilterBudget(keep=(0.25, 0.125), cost=costs, min_filters=4),
        )
    with pytest.raises(PruneError, match="^keep=0.125 allows a cost of 3, but with min_filters=2"):
        uniform_filters(groups, FilterBudget(keep=(0.25, 0.125), cost=costs, min_filters=2))


def test_shares_and_costs_belong_together() -> None:
    with pytest.raises(
        PruneError, match="^keep must have a share for each cost, got 2 shares and 1"
    ):
        FilterBudget(keep=(0.5, 0.5), cost=lambda kept: 1.0)
    message = (
        "2 problems:\n  - keep must be above 0 and at most 1, got 0.0"
        "\n  - keep must have a share for each cost, got 2 shares and 1 costs"
    )
    with pytest.raises(PruneError, match=f"^{re.escape(message)}$"):
        FilterBudget(keep=(0.5, 0.0))
