import re
from collections.abc import Mapping
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from systolith.prune import PruneError
from systolith.prune.filters import (
    FilterBudget,
    divide_by_costs,
    find_channel_groups,
    macs_after,
    select_filters,
    uniform_filters,
    unit_costs,
)
from tests.sw.prune.filters.small_models import NETWORKS, bare_group, images


def _cost(kept: Mapping[str, int]) -> float:
    counts = [1, *kept.values(), 1]
    return sum(a * b for a, b in zip(counts, counts[1:], strict=False))


@given(
    st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=7), min_size=1, max_size=4),
    st.floats(0.3, 1),
    st.integers(1, 3),
    st.integers(1, 3),
    st.booleans(),
)
@settings(max_examples=200, deadline=None)
def test_equals_removing_one_by_one(
    values: list[list[int]], keep: float, fewest: int, lanes: int, costly: bool
) -> None:
    groups = [bare_group(str(number), len(scores)) for number, scores in enumerate(values)]
    scores = {g.name: torch.tensor(s).float() for g, s in zip(groups, values, strict=True)}
    budget = FilterBudget(
        keep=keep, cost=_cost if costly else None, min_filters=fewest, multiple_of=lanes
    )

    def rounded(alive: Mapping[str, list[int]]) -> dict[str, int]:
        return {
            g.name: min(-(-max(len(alive[g.name]), fewest) // lanes) * lanes, g.size)
            for g in groups
        }

    def best(name: str, number: int) -> list[int]:
        mine = scores[name].tolist()
        return sorted(range(len(mine)), key=lambda i: (-mine[i], i))[:number]

    alive = {g.name: list(range(g.size)) for g in groups}
    protected = {
        g.name: best(g.name, n) for g in groups for n in [rounded({**alive, g.name: []})[g.name]]
    }
    queue = sorted(
        (
            (scores[g.name][i].item(), -place, -i)
            for place, g in enumerate(groups)
            for i in range(g.size)
            if i not in protected[g.name]
        ),
    )
    allowed = keep * (_cost if costly else lambda k: sum(k.values()))(
        {g.name: g.size for g in groups}
    )
    price = _cost if costly else lambda k: sum(k.values())
    while price(rounded(alive)) > allowed * (1 + 1e-9) and queue:
        _, place, unit = queue.pop(0)
        alive[groups[-place].name].remove(-unit)
    if price(rounded(alive)) > allowed * (1 + 1e-9):
        with pytest.raises(PruneError, match="^keep="):
            select_filters(groups, scores, budget)
        return
    masks = select_filters(groups, scores, budget)
    for name, number in rounded(alive).items():
        assert masks[name].nonzero().flatten().tolist() == sorted(best(name, number))


def test_one_sort_over_all_layers() -> None:
    groups = [bare_group("a", 3), bare_group("b", 3)]
    scores = {"a": torch.tensor([9.0, 8.0, 7.0]), "b": torch.tensor([1.0, 2.0, 10.0])}
    masks = select_filters(groups, scores, FilterBudget(keep=4 / 6))
    assert masks["a"].tolist() == [True, True, True]
    assert masks["b"].tolist() == [False, False, True]


def test_a_limit_stops_before_the_budget_is_met() -> None:
    groups = [bare_group("a", 4)]
    scores = {"a": torch.tensor([1.0, 2.0, 3.0, 4.0])}
    kept = [
        int(select_filters(groups, scores, FilterBudget(keep=0.5), limit=limit)["a"].sum())
        for limit in (0, 1, 2, 3)
    ]
    assert kept == [4, 3, 2, 2]


@pytest.mark.parametrize("keep", [0.9, 0.7, 0.4])
def test_meets_a_budget_of_macs_and_not_by_more_than_one_filter(keep: float) -> None:
    model, x = NETWORKS["residual"](), images().float()
    groups = find_channel_groups(model, x)
    cost = macs_after(model, groups, x)
    torch.manual_seed(0)
    scores = {group.name: torch.rand(group.size) for group in groups if group.removable}
    masks = select_filters(groups, scores, FilterBudget(keep=keep, cost=cost))
    whole = cost({})
    assert cost(masks.kept) <= keep * whole
    removed = [(scores[n][i].item(), n) for n, m in masks.items() for i in (~m).nonzero().flatten()]
    _, last = max(removed)
    assert cost({**masks.kept, last: masks.kept[last] + 1}) > keep * whole


def test_unit_costs_are_what_each_filter_saves() -> None:
    model = nn.Sequential(nn.Conv2d(2, 4, 1), nn.ReLU(), nn.Conv2d(4, 3, 1), nn.Conv2d(3, 5, 1))
    x = torch.zeros(1, 2, 2, 2)
    groups = find_channel_groups(model, x)
    macs = macs_after(model, groups, x)
    costs = unit_costs({"0": 4, "2": 3}, macs)
    assert costs == {"0": pytest.approx(4 * (2 + 3)), "2": pytest.approx(4 * (4 + 5))}
    fewer = unit_costs({"0": 4, "2": 1}, macs)
    assert fewer == {"0": pytest.approx(4 * (2 + 1)), "2": 0.0}


def test_unit_costs_are_means_over_steps() -> None:
    costs = unit_costs({"a": 16, "b": 8}, lambda kept: 30 * -(-kept["a"] // 8) + 7)
    assert costs == {"a": 2.0, "b": 0.0}


def test_units_that_cost_nothing_stay_and_those_that_left_do_not_return() -> None:
    scores = {"a": torch.tensor([3.0, -1.0]), "b": torch.tensor([0.0, -torch.inf])}
    worth = divide_by_costs(scores, {"a": 2.0, "b": 0.0})
    assert {name: value.tolist() for name, value in worth.items()} == {
        "a": [1.5, -0.5],
        "b": [torch.inf, -torch.inf],
    }


def test_ties_go_to_what_comes_first() -> None:
    groups = [bare_group("a", 2), bare_group("b", 2)]
    for name, keep in product("ab", (0.5, 0.75)):
        masks = select_filters(
            groups, {g.name: torch.ones(2) for g in groups}, FilterBudget(keep=keep)
        )
        expected = {"a": [True, keep > 0.5], "b": [True, False]}
        assert masks[name].tolist() == expected[name]


def test_refuses_a_budget_that_limits_forbid() -> None:
    message = (
        "keep=0.25 allows a cost of 1, but with min_filters=1 and multiple_of=2 it is at least 2"
    )
    with pytest.raises(PruneError, match=f"^{re.escape(message)}$"):
        select_filters(
            [bare_group("a", 4)], {"a": torch.arange(4.0)}, FilterBudget(keep=0.25, multiple_of=2)
        )


def test_refuses_numbers_out_of_range() -> None:
    message = (
        "3 problems:\n  - keep must be above 0 and at most 1, got 0"
        "\n  - min_filters must be at least 1, got 0\n  - multiple_of must be at least 1, got -1"
    )
    with pytest.raises(PruneError, match=f"^{re.escape(message)}$"):
        FilterBudget(keep=0, min_filters=0, multiple_of=-1)


def test_refuses_scores_that_do_not_fit() -> None:
    groups = find_channel_groups(NETWORKS["chain"](), images().float())
    scores = {
        "x": torch.ones(1),
        "12": torch.ones(3),
        "0": torch.ones(4),
        "4": torch.full((4,), torch.nan),
    }
    message = (
        "5 problems:\n  - limit must be at least 0, got -1"
        "\n  - scores must name a group of 0, 4, 9, 12, got 'x'"
        "\n  - group '12' cannot be scored: it is an output of the network"
        "\n  - scores of group '0' must have shape (5,), got (4,)"
        "\n  - scores of group '4' must be numbers, got nan"
    )
    with pytest.raises(PruneError, match=f"^{re.escape(message)}$"):
        select_filters(groups, scores, FilterBudget(keep=0.5), limit=-1)
    with pytest.raises(PruneError, match="^scores must name at least one group, got none$"):
        select_filters(groups, {}, FilterBudget(keep=0.5))


def test_shares_of_layers_refuse_ratios_of_unknown_groups() -> None:
    groups = [bare_group("a", 4), bare_group("b", 8)]
    assert uniform_filters(groups, FilterBudget(keep=1.0, ratios={"b": 0.5})) == {"a": 4, "b": 4}
    message = "^ratios must name a removable group of a, b, got 'c'$"
    with pytest.raises(PruneError, match=message):
        uniform_filters(groups, FilterBudget(keep=1.0, ratios={"c": 0.5}))
