"""The cost that budgets of cycles are met by is the planner's own number."""

import pytest
import torch

from systolith.config import BudgetSection
from systolith.frontend import lower
from systolith.models import DigitsCNN, resnet20
from systolith.network import KOutOfN, Pattern
from systolith.plan import plan_network
from systolith.prune import PruneError, ScorePruner, all_convolutions_but_first
from systolith.quant import prepare
from systolith.steps import cycle_cost
from systolith.steps.budgets import patterns_for_budget

IMAGES = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("multipliers", [16, 64, 200])
@pytest.mark.parametrize("kept", [None, (4, 8), (1, 4)])
def test_cycles_are_those_of_the_plan(kept: tuple[int, int] | None, multipliers: int) -> None:
    model = DigitsCNN().eval()
    patterns = (
        {} if kept is None else all_convolutions_but_first(model, Pattern(select=KOutOfN(*kept)))
    )
    masks = ScorePruner(patterns=patterns).masks(model)
    masks.apply_(model)
    plan = plan_network(lower(prepare(model, IMAGES, None, masks)), multipliers=multipliers)
    assert cycle_cost(model, IMAGES, multipliers)(patterns) == plan.cycles_per_frame


def test_networks_whose_engines_do_not_all_exist_have_a_cost() -> None:
    model, images = resnet20().eval(), torch.rand(2, 3, 32, 32)
    cost = cycle_cost(model, images, 64)
    patterns = patterns_for_budget(
        model,
        images,
        [Pattern(select=KOutOfN(1, 4))],
        BudgetSection(cycles=int(cost({}) / 2)),
        multipliers=64,
    )
    assert 0 < cost(patterns) <= cost({}) / 2


def test_an_impossible_number_of_cycles_is_refused() -> None:
    with pytest.raises(PruneError, match="budget of 10 cannot be met: the least cost is"):
        patterns_for_budget(
            DigitsCNN(),
            IMAGES,
            [Pattern(select=KOutOfN(1, 8))],
            BudgetSection(cycles=10),
            multipliers=16,
        )
