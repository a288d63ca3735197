"""Sections of an experiment file and configurations of pruning methods have the same defaults."""

from pathlib import Path
from typing import Any

import pytest

from systolith.cli.options import METHODS
from systolith.compress import (
    ADMMPruning,
    CycleBudget,
    DJPQPruning,
    DPFPruning,
    DPPFilterPruning,
    DPPPruning,
    EnsemblePruning,
    FilterScorePruning,
    GDPPruning,
    MacBudget,
    MagnitudePruning,
    OBSPruning,
    ParameterBudget,
    ParticlePruning,
    PatternChoice,
    Pruning,
    SPPPruning,
    SRSTEPruning,
    TaylorPruning,
    WeightScore,
)
from systolith.config import ConfigError, Experiment, check_experiment
from systolith.network import KOutOfN, Pattern
from systolith.prune import StridedPattern
from systolith.stages.software.prunings import make_prunings

RULES = [{"layers": "conv2", "k": 2, "n": 8}]
PATTERNS = [("conv2", Pattern(select=KOutOfN(2, 8)))]
MINIMAL: dict[str, tuple[dict[str, Any], Pruning]] = {
    "magnitude": ({"rules": RULES}, MagnitudePruning(patterns=PATTERNS)),
    "obs": ({"rules": RULES}, OBSPruning(patterns=PATTERNS)),
    "sr-ste": ({"rules": RULES}, SRSTEPruning(patterns=PATTERNS)),
    "dpp": ({"rules": RULES}, DPPPruning(patterns=PATTERNS)),
    "dpf": ({"rules": RULES}, DPFPruning(patterns=PATTERNS)),
    "admm": ({"rules": RULES}, ADMMPruning(patterns=PATTERNS)),
    "spp": ({"rules": RULES}, SPPPruning(patterns=PATTERNS)),
    "particles": ({"stride": 3}, ParticlePruning(stride=3)),
    "gdp": ({"keep": 0.5}, GDPPruning(keep=0.5)),
    "taylor": ({"keep": 0.5}, TaylorPruning(keep=0.5)),
    "filters": ({"keep": 0.5}, FilterScorePruning(keep=0.5)),
    "lfe": ({"budget": {"macs": 0.5}}, EnsemblePruning(keep=MacBudget(0.5))),
    "dpp-filters": ({"keep": 0.5}, DPPFilterPruning(keep=0.5)),
    "djpq": ({}, DJPQPruning()),
}


def _experiment(**section: Any) -> Experiment:
    content = {
        "name": "tiny",
        "model": {"factory": "digits_cnn"},
        "data": {"factory": "digits"},
        "hardware": {"multipliers": 16},
        "prune": [section],
    }
    return check_experiment(content, Path("tiny.toml"))


@pytest.mark.parametrize("method", METHODS)
def test_defaults_of_the_section_are_those_of_the_configuration(method: str) -> None:
    section, pruning = MINIMAL[method]
    assert make_prunings(_experiment(method=method, **section)) == (pruning,)


def test_magnitudes_may_count_with_their_inputs() -> None:
    (pruning,) = make_prunings(_experiment(method="magnitude", rules=RULES, score="wanda"))
    assert pruning == MagnitudePruning(patterns=PATTERNS, score=WeightScore.WANDA)


def test_a_budget_of_cycles_is_for_the_multipliers_of_the_experiment() -> None:
    experiment = _experiment(method="sr-ste", budget={"cycles": 900}, shared_by=2)
    (pruning,) = make_prunings(experiment)
    assert isinstance(pruning, SRSTEPruning) and isinstance(pruning.patterns, PatternChoice)
    budget = pruning.patterns.budget
    assert isinstance(budget, CycleBudget) and budget.cycles == 900
    assert budget.cost.keywords == {"multipliers": 16}  # type: ignore[attr-defined]
    default = PatternChoice(budget=budget).candidates
    assert [(c.select.k, c.select.n) for c in pruning.patterns.candidates] == [
        (c.select.k, c.select.n) for c in default
    ]
    assert {c.select.shared_by for c in pruning.patterns.candidates} == {2}


def test_a_budget_of_filters_may_have_two_limits() -> None:
    budget = {"macs": 0.36, "parameters": 0.4}
    (pruning,) = make_prunings(_experiment(method="gdp", budget=budget, per_cost=True))
    assert pruning == GDPPruning(keep=(MacBudget(0.36), ParameterBudget(0.4)), per_cost=True)


@pytest.mark.parametrize(
    ("method", "budget", "problem"),
    [
        (
            "sr-ste",
            {"macs": 0.5, "parameters": 0.5},
            "prune[0]: a budget that chooses patterns needs one limit, got macs and parameters",
        ),
        (
            "gdp",
            {"macs": 0.5, "cycles": 900},
            "prune[0].budget: needs one of cycles, macs and parameters, got cycles, macs",
        ),
        ("gdp", {}, "prune[0].budget: needs one of cycles, macs and parameters, got none"),
    ],
)
def test_refuses_limits_that_do_not_go_together(
    method: str, budget: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        _experiment(method=method, budget=budget)
    assert problem in caught.value.problems


def test_strided_rules_leave_their_offsets_to_the_weights() -> None:
    rules = [{"layers": "conv2", "stride": 3}, {"layers": "conv3", "k": 1, "n": 2, "stride": 1}]
    (pruning,) = make_prunings(_experiment(method="magnitude", rules=rules))
    assert isinstance(pruning, MagnitudePruning)
    assert pruning.patterns == [
        ("conv2", StridedPattern(stride=3)),
        ("conv3", Pattern(select=KOutOfN(1, 2))),
    ]
