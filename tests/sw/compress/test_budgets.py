"""Budgets in terms of a model's patterns, with a cost function that is handed in."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from systolith.compress import (
    CycleBudget,
    MacBudget,
    ParameterBudget,
    PatternChoice,
    choose_patterns,
    pattern_budget,
)
from systolith.models import DigitsCNN
from systolith.network import KOutOfN, Pattern
from systolith.prune import weight_cost

IMAGES = torch.zeros(1, 1, 8, 8)
HALF, QUARTER = Pattern(select=KOutOfN(2, 4)), Pattern(select=KOutOfN(1, 4))


@dataclass
class _Cycles:
    """Hardware that computes no quarter of conv3, and takes one cycle per kept weight of conv2."""

    model: nn.Module
    images: Tensor

    def __call__(self, patterns: Mapping[str, Pattern]) -> float:
        return float(patterns.get("conv2", Pattern()).kept((32, 16, 3, 3)))

    def problems(self, name: str, pattern: Pattern) -> Iterator[str]:
        if name == "conv3" and pattern == QUARTER:
            yield "no engine"


def test_candidates_fit_the_layer_and_the_hardware() -> None:
    third = Pattern(select=KOutOfN(1, 3))
    choice = PatternChoice(budget=CycleBudget(2400, _Cycles), candidates=(HALF, QUARTER, third))
    budget = pattern_budget(DigitsCNN(), IMAGES, choice)
    assert budget.candidates == {
        "conv2": [HALF, QUARTER],
        "conv3": [HALF],
        "fc": [HALF, QUARTER],
    }
    assert budget.limit == 2400 and budget.cost({"conv2": HALF}) == 2304
    assert choose_patterns(DigitsCNN(), budget)["conv2"] == HALF


def test_shares_are_of_the_dense_network() -> None:
    model = DigitsCNN()
    for share, macs in ((MacBudget(0.5), True), (ParameterBudget(0.5), False)):
        budget = pattern_budget(model, IMAGES, PatternChoice(budget=share))
        dense = weight_cost(model, IMAGES, macs=macs)({})
        assert budget.limit == dense / 2
        assert budget.cost(choose_patterns(model, budget)) <= dense / 2


def test_costs_of_cycles_follow_the_macs() -> None:
    model = DigitsCNN()
    choice = PatternChoice(budget=CycleBudget(2400, _Cycles), candidates=(HALF,))
    slope = pattern_budget(model, IMAGES, choice).slope
    assert slope({"conv2": HALF}) == weight_cost(model, IMAGES, macs=True)({"conv2": HALF})
