import re
from math import sqrt

import pytest
import torch

from systolith.prune import PruneError
from systolith.prune.filters import (
    FilterBudget,
    FilterMasks,
    find_channel_groups,
    macs_after,
    match_ratios,
    random_scores,
    select_filters,
    select_filters_by_layer,
    uniform_filters,
)
from tests.sw.prune.filters.small_models import NETWORKS, images

MODEL = NETWORKS["residual"]()
GROUPS = find_channel_groups(MODEL, images().float())
SIZES = {group.name: group.size for group in GROUPS if group.removable}
SCORES = random_scores(MODEL, GROUPS)


def test_groups_with_a_ratio_keep_that_share_whatever_the_others_do() -> None:
    for keep in (1.0, 0.6, 0.5):
        budget = FilterBudget(keep=keep, ratios={"a1": 2 / 3, "b2": 0.5})
        masks = select_filters(GROUPS, SCORES, budget)
        assert (masks.kept["a1"], masks.kept["b2"]) == (2, 3)
        assert masks.density <= keep and budget.is_met(masks)
        others = {"stem": 4, "b1": 5}
        assert keep < 1 or others.items() <= masks.kept.items()
    whole = FilterMasks({n: torch.ones(s, dtype=torch.bool) for n, s in SIZES.items()}, GROUPS)
    assert not FilterBudget(keep=1.0, ratios={"a1": 0.5}).is_met(whole)


def test_ratios_leave_first_up_to_a_limit() -> None:
    budget = FilterBudget(keep=0.5, ratios={"b2": 0.5})
    kept = [select_filters(GROUPS, SCORES, budget, limit=n).kept["b2"] for n in range(5)]
    assert kept == [6, 5, 4, 3, 3]


def test_every_layer_keeps_its_least_share() -> None:
    scores = {name: torch.full((size,), float(name != "b1")) for name, size in SIZES.items()}
    masks = select_filters(GROUPS, scores, FilterBudget(keep=0.8, min_ratio=0.5))
    assert masks.kept["b1"] == 3  # of 5, rounded up
    message = (
        "keep=0.4 allows a cost of 7.2, but with min_filters=1, min_ratio=0.5 and multiple_of=1 "
        "it is at least 10"
    )
    with pytest.raises(PruneError, match=f"^{re.escape(message)}$"):
        select_filters(GROUPS, scores, FilterBudget(keep=0.4, min_ratio=0.5))


def test_a_relaxed_budget_is_as_far_on_its_way_with_ratios() -> None:
    relaxed = FilterBudget(keep=0.25, ratios={"a1": 0.04}).relaxed(sqrt)
    assert relaxed == FilterBudget(keep=0.5, ratios={"a1": 0.2})
    assert FilterBudget(keep=1.0, ratios={"a1": 0.04}).relaxed(sqrt).ratios == {"a1": 0.2}


@pytest.mark.parametrize("multiple_of", [1, 2])
@pytest.mark.parametrize("keep", [0.9, 0.5, 0.4])
def test_the_uniform_share_is_the_greatest_that_meets_the_budget(
    keep: float, multiple_of: int
) -> None:
    cost = macs_after(MODEL, GROUPS, images().float())
    budget = FilterBudget(keep=keep, cost=cost, multiple_of=multiple_of)
    kept = uniform_filters(GROUPS, budget)
    assert cost(kept) <= keep * cost(SIZES)
    assert all(count % multiple_of == 0 or count == SIZES[name] for name, count in kept.items())
    lowest = max(count / SIZES[name] for name, count in kept.items())
    more = {
        name: min(-(-max(count + 1, round(lowest * size)) // multiple_of) * multiple_of, size)
        for (name, count), size in zip(kept.items(), SIZES.values(), strict=True)
    }
    assert cost(more) > keep * cost(SIZES)
    assert select_filters_by_layer(GROUPS, SCORES, budget).kept == kept


def test_rules_for_layers_name_their_groups() -> None:
    assert match_ratios(GROUPS, {"[ab]1": 0.5, "shortcut": 0.25}) == {
        "a1": 0.5,
        "b1": 0.5,
        "b2": 0.25,
    }
    layers = "stem, a2, a1, b1, b2, shortcut"
    message = (
        "3 problems:\n  - ratio 'conv' must name a layer with removable filters; there are "
        f"{layers}\n  - ratio '(' is not a regular expression: missing ), unterminated subpattern "
        f"at position 0\n  - ratio 'head' must name a layer with removable filters; there are "
        f"{layers}"
    )
    with pytest.raises(PruneError, match=f"^{re.escape(message)}$"):
        match_ratios(GROUPS, {"conv": 0.5, "(": 0.5, "head": 0.5})


def test_refuses_ratios_out_of_range_or_of_no_group() -> None:
    with pytest.raises(PruneError, match="^the ratio of 'a1' must be above 0 and at most 1, got"):
        FilterBudget(keep=0.5, ratios={"a1": 0})
    with pytest.raises(PruneError, match="^min_ratio must lie in 0..1, got 2$"):
        FilterBudget(keep=0.5, min_ratio=2)
    with pytest.raises(PruneError, match="^ratios must name a group with scores, got 'x'$"):
        select_filters(GROUPS, SCORES, FilterBudget(keep=0.5, ratios={"x": 0.5}))
