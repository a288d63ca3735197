"""Configurations refuse what contradicts itself, before any training."""

from typing import Any

import numpy as np
import pytest

from systolith.compress import (
    DJPQPruning,
    DPPPruning,
    EnsemblePruning,
    FilterPruning,
    GDPPruning,
    MacBudget,
    OBSPruning,
    ParticlePruning,
    PatternChoice,
    Pruning,
    SPPPruning,
    SRSTEPruning,
    TaylorPruning,
    Trainer,
    check_prunings,
    compress_model,
    find_given_patterns,
)
from systolith.data import load_digits
from systolith.models import DigitsCNN
from systolith.network import KOutOfN, Pattern
from systolith.prune import SRSTE, Cubic, FilterBudget, PruneError, ScorePruner


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
    message = "^an ensemble needs at least 240 masked networks, 3 for each of 80 units, .* got 100$"
    with pytest.warns(UserWarning, match=message):
        check_prunings(DigitsCNN(), load_digits(), prunings)


WRONG: list[tuple[type[Pruning], dict[str, Any], str]] = [
    (
        GDPPruning,
        {"keep": "half"},
        "keep .* a float or MacBudget or ParameterBudget or tuple, got 'half'",
    ),
    (GDPPruning, {"keep": ()}, "keep of GDPPruning must have at least one budget, got none"),
    (GDPPruning, {"keep": (0.5,)}, "a budget in keep .* a MacBudget or ParameterBudget, got 0.5"),
    (
        SPPPruning,
        {"patterns": None},
        "patterns .* a Sequence or .* PatternChoice, got None",
    ),
    (SRSTEPruning, {"patterns": {}, "schedule": 3}, "schedule .* a Schedule, got 3"),
    (SRSTEPruning, {"patterns": {}, "joint": 1}, "joint .* a bool, got 1"),
    (EnsemblePruning, {"keep": 0.5, "images": None}, "images .* an int, got None"),
    (EnsemblePruning, {"keep": 0.5, "members": 2.5}, "members .* an int or None, got 2.5"),
    (OBSPruning, {"patterns": {}, "damping": "x"}, "damping .* a float, got 'x'"),
    (ParticlePruning, {"kernels": "x"}, "kernels .* a float or None, got 'x'"),
    (DPPPruning, {"patterns": [], "init": "zero"}, "init .* a LogitInit, got 'zero'"),
    (DJPQPruning, {"epochs": "x"}, "epochs .* an int or None, got 'x'"),
]


@pytest.mark.parametrize(("kind", "arguments", "message"), WRONG)
def test_arguments_of_a_wrong_type_are_named(
    kind: type[Pruning], arguments: dict[str, Any], message: str
) -> None:
    message = message.replace(" .* ", f" of {kind.__name__} must be ", 1)
    with pytest.raises(PruneError, match=f"^{message}$"):
        kind(**arguments)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EnsemblePruning(keep=0.5, rounds=0), "rounds of .* at least 1, got 0"),
        (lambda: EnsemblePruning(keep=0.5, members=0), "members of .* at least 1, got 0"),
        (lambda: ParticlePruning(stride=2, images=0), "images of .* at least 1, got 0"),
        (lambda: ParticlePruning(stride=2, particles=0), "particles of .* at least 1, got 0"),
        (lambda: DJPQPruning(information=float("nan")), "information of .* at least 0, got nan"),
        (lambda: SPPPruning(patterns=[("conv", 2)]), "pattern of 'conv' must be a Pattern or .* 2"),
        (lambda: SPPPruning(patterns="conv2"), "patterns must be pairs of a rule .*, got 'conv2'"),
        (lambda: MacBudget("half"), "share of a MacBudget must be a float, got 'half'"),
        (lambda: FilterBudget(keep=1, ratios={"a": "b"}), "the ratio of 'a' must be .*, got 'b'"),
        (lambda: SRSTE(ScorePruner(patterns={}), decay=float("nan")), "SR-STE .* at least 0, got"),
    ],
)  # fmt: skip
def test_numbers_out_of_range_and_wrong_entries_are_refused(make: Any, message: str) -> None:
    with pytest.raises(PruneError, match=f"^{message}"):
        make()


@pytest.mark.parametrize("kind", [GDPPruning, TaylorPruning])
def test_methods_that_choose_while_training_need_epochs(kind: type[FilterPruning]) -> None:
    with pytest.raises(PruneError, match=r"^prune: \w+ chooses filters in its epochs, but has 0$"):
        check_prunings(DigitsCNN(), load_digits(), [kind(keep=0.5, epochs=0)])


def test_any_integer_and_real_number_will_do() -> None:
    numbers: dict[str, Any] = {"epochs": np.int64(2), "learning_rate": np.float32(0.5)}
    assert GDPPruning(keep=1, **numbers)
    assert SRSTEPruning(patterns=(), schedule=Cubic(), decay=0)


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
