"""Methods that remove filters meet their budgets, whatever these count, in short training, too."""

import pytest

from systolith.compress import (
    DPPFilterPruning,
    FilterPruning,
    FilterScorePruning,
    GDPPruning,
    MacBudget,
    ParameterBudget,
    TaylorPruning,
    Trainer,
    check_prunings,
    prune_model,
)
from systolith.compress.filters import check_removal
from systolith.data import load_digits
from systolith.models import DigitsCNN
from systolith.prune import FilterScore, PruneError, count_costs
from systolith.train import Recipe

DATA = load_digits()
IMAGES = DATA.train_images[:2]
WHOLE = count_costs(DigitsCNN(), IMAGES)


def _prune(pruning: FilterPruning, epochs: int = 0) -> dict[str, float]:
    """Shares that are kept: of MACs, of parameters, and of the filters of each layer."""
    trainer = Trainer(data=DATA, recipe=Recipe(prune_epochs=epochs))
    small = prune_model(DigitsCNN(), trainer, [pruning]).model
    costs = count_costs(small, IMAGES)
    shares = {
        name: len(small.get_submodule(name).weight) / len(DigitsCNN().get_submodule(name).weight)
        for name in ("conv1", "conv2", "conv3")
    }
    macs, parameters = costs.macs / WHOLE.macs, costs.parameters / WHOLE.parameters
    return {"macs": macs, "parameters": parameters, **shares}


@pytest.mark.parametrize("multiple_of", [1, 4])
def test_drawn_filters_meet_what_the_budget_counts(multiple_of: int) -> None:
    macs = _prune(DPPFilterPruning(keep=MacBudget(0.5), multiple_of=multiple_of))
    assert 0.4 < macs["macs"] <= 0.5
    parameters = _prune(DPPFilterPruning(keep=ParameterBudget(0.5), multiple_of=multiple_of))
    assert 0.4 < parameters["parameters"] <= 0.5
    filters = _prune(DPPFilterPruning(keep=0.5, multiple_of=multiple_of))
    assert filters["conv1"] == filters["conv2"] == filters["conv3"] == 0.5
    assert filters["macs"] < 0.3


@pytest.mark.parametrize("pruning", [GDPPruning, TaylorPruning])
def test_one_epoch_suffices_for_a_schedule(pruning: type[FilterPruning]) -> None:
    # A schedule that cannot finish would warn, and warnings are errors here.
    assert _prune(pruning(keep=MacBudget(0.4)), epochs=1)["macs"] <= 0.4


@pytest.mark.parametrize(
    "pruning", [GDPPruning, TaylorPruning, FilterScorePruning, DPPFilterPruning]
)
def test_all_limits_of_a_budget_are_met(pruning: type[FilterPruning]) -> None:
    kept = _prune(pruning(keep=(MacBudget(0.5), ParameterBudget(0.4))), epochs=1)
    assert kept["macs"] <= 0.5 and kept["parameters"] <= 0.4
    kept = _prune(pruning(keep=(MacBudget(0.3), ParameterBudget(0.9))), epochs=1)
    assert 0.2 < kept["macs"] <= 0.3


def test_too_few_steps_warn() -> None:
    trainer = Trainer(data=DATA, recipe=Recipe(prune_epochs=1, batch_size=400))
    with pytest.warns(UserWarning, match="^GDP needs 3 updates of its masks .* got 0 in 3 steps"):
        check_removal(DigitsCNN(), trainer, GDPPruning(keep=0.5))
    with pytest.warns(UserWarning, match="^GDP needs 3 updates of its masks .* got 0 in 3 steps"):
        prune_model(DigitsCNN(), trainer, [GDPPruning(keep=0.5)])
    check_removal(DigitsCNN(), trainer, TaylorPruning(keep=0.5))


@pytest.mark.parametrize("score", FilterScore)
def test_scores_choose_at_once(score: FilterScore) -> None:
    assert _prune(FilterScorePruning(keep=MacBudget(0.3), score=score))["macs"] <= 0.3


@pytest.mark.parametrize("per_layer", [False, True])
def test_layers_keep_their_ratio(per_layer: bool) -> None:
    ratios = {"conv.*": 0.5, "conv3": 0.25}
    kept = _prune(FilterScorePruning(keep=1.0, ratios=ratios, per_layer=per_layer))
    assert (kept["conv1"], kept["conv2"], kept["conv3"]) == (0.5, 0.5, 0.25)
    kept = _prune(FilterScorePruning(keep=0.4, ratios={"conv1": 1.0}, per_layer=per_layer))
    assert kept["conv1"] == 1.0 and kept["conv2"] < 0.5


def test_ratios_of_no_layer_are_refused_before_training() -> None:
    with pytest.raises(PruneError, match="^ratio 'fc' must name a layer with removable filters"):
        check_prunings(DigitsCNN(), DATA, [TaylorPruning(keep=0.5, ratios={"fc": 0.5})])


def test_every_layer_keeps_its_least_share() -> None:
    kept = _prune(FilterScorePruning(keep=MacBudget(0.1), min_ratio=0.25, score=FilterScore.RANDOM))
    assert min(kept["conv1"], kept["conv2"], kept["conv3"]) >= 0.25
