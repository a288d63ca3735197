"""Configurations refuse what contradicts itself, before any training."""

import pytest

from systolith.compress import (
    DPPPruning,
    EnsemblePruning,
    GDPPruning,
    MacBudget,
    OBSPruning,
    ParticlePruning,
    PatternChoice,
    SRSTEPruning,
    Trainer,
    check_prunings,
    compress_model,
    find_given_patterns,
)
from systolith.data import load_digits
from systolith.models import DigitsCNN
from systolith.network import KOutOfN, Pattern
from systolith.prune import PruneError


def test_contradictions_are_refused() -> None:
    with pytest.raises(PruneError, match=r"^particle pruning needs kernels, a stride, or both$"):
        ParticlePruning()
    with pytest.raises(PruneError, match=r"^learn_patterns needs a budget .*, got rules$"):
        DPPPruning(patterns=[], learn_patterns=True)
    with pytest.raises(PruneError, match=r"^prune: per_cost needs a budget of macs, got keep$"):
        GDPPruning(keep=0.5, per_cost=True)
    assert GDPPruning(keep=MacBudget(0.5), per_cost=True).per_cost
    with pytest.raises(PruneError, match=r"^obs needs damping above 0 .*, got damping=0, images=3"):
        OBSPruning(patterns=[], damping=0, images=3)


def test_holding_out_every_image_is_refused() -> None:
    prunings = [ParticlePruning(stride=2, images=1198)]
    with pytest.raises(PruneError, match=r"^prune: particles holds out 1198 .* has 1198$"):
        check_prunings(DigitsCNN(), load_digits(), prunings)


def test_few_masked_networks_are_warned_of_before_training() -> None:
    prunings = [EnsemblePruning(keep=0.5, members=100)]
    message = r"^prune: lfe needs members of at least 240, 3 for each of 80 filters, got 100$"
    with pytest.warns(UserWarning, match=message):
        check_prunings(DigitsCNN(), load_digits(), prunings)


@pytest.mark.parametrize("name", ["conv9", "conv[23"])
def test_rules_that_match_nothing_are_refused_before_training(name: str) -> None:
    prunings = [SRSTEPruning(patterns=[(name, Pattern(select=KOutOfN(2, 8)))])]
    with pytest.raises(PruneError, match="^rule "):
        compress_model(DigitsCNN(), Trainer(data=load_digits()), prunings)


def test_patterns_are_given_unless_filters_leave_or_a_search_or_budget_decides() -> None:
    model, pattern = DigitsCNN(), Pattern(select=KOutOfN(2, 8))
    rules = SRSTEPruning(patterns=[("conv[23]", pattern)])
    named = SRSTEPruning(patterns={"conv3": pattern})
    chosen = SRSTEPruning(patterns=PatternChoice(budget=MacBudget(0.5)))
    assert find_given_patterns(model, [rules]) == {"conv2": pattern, "conv3": pattern}
    assert find_given_patterns(model, [named]) == {"conv3": pattern}
    assert find_given_patterns(model, [ParticlePruning(stride=3)]) is None
    assert find_given_patterns(model, [chosen]) is None
    assert find_given_patterns(model, [GDPPruning(keep=0.5), rules]) is None
