"""Rounds of scoring and removing, on losses whose answer is known, and on networks."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from systolith.models import DigitsCNN, TinyResNet
from systolith.prune import PruneError
from systolith.prune.filters import (
    FilterBudget,
    FilterMasks,
    find_channel_groups,
    gated,
    macs_after,
    remove_filters,
)
from systolith.prune.search import (
    EnsembleProgress,
    EvaluationSplit,
    GateEvaluator,
    LinearFilterEnsemble,
    Loss,
    prune_by_ensembles,
)

pytestmark = [
    pytest.mark.filterwarnings("ignore:an ensemble needs at least .* masked networks"),
    pytest.mark.filterwarnings("ignore:masked networks of an ensemble must"),
]


def _split() -> EvaluationSplit:
    generator = torch.Generator().manual_seed(0)
    return EvaluationSplit(
        images=torch.randn(6, 1, 8, 8, generator=generator),
        labels=torch.randint(10, (6,), generator=generator),
        loss=Loss.CROSS_ENTROPY,
    )


SIZES = {"conv1": 16, "conv2": 32, "conv3": 32}


def _worth() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {name: torch.rand(size, generator=generator) for name, size in SIZES.items()}


def _losses(masks: Mapping[str, Tensor]) -> Tensor:
    assert masks.keys() == SIZES.keys()
    return 9 - torch.stack([mask.float() @ _worth()[name] for name, mask in masks.items()]).sum(0)


EXACT = LinearFilterEnsemble(log=False, ridge=1e-6, keep=0.7, per_unit=2)


def test_keeps_the_worthiest_of_all_layers_by_any_evaluator() -> None:
    reports: list[EnsembleProgress] = []
    masks = prune_by_ensembles(
        DigitsCNN(),
        _split(),
        FilterBudget(keep=0.25),
        ensemble=EXACT,
        losses=_losses,
        rounds=2,
        report=reports.append,
    )
    worth = torch.cat(list(_worth().values()))
    expected = torch.zeros(80, dtype=torch.bool).scatter(0, worth.topk(20).indices, True)
    assert torch.equal(torch.cat(list(masks.values())), expected)
    assert [sum(report.kept.values()) for report in reports] == [40, 20]
    assert reports[-1].loss == pytest.approx(9 - float(worth[expected].sum()), rel=1e-5)


def test_keeps_the_worthiest_of_each_layer() -> None:
    masks = prune_by_ensembles(
        DigitsCNN(),
        _split(),
        FilterBudget(keep=0.5, multiple_of=8),
        ensemble=LinearFilterEnsemble(log=False, ridge=1e-6, keep=0.7, per_unit=2, per_layer=True),
        losses=_losses,
        rounds=2,
    )
    assert masks.kept == {"conv1": 8, "conv2": 16, "conv3": 16}
    for name, mask in masks.items():
        best = _worth()[name].topk(int(mask.sum())).indices
        assert torch.equal(mask.nonzero()[:, 0], best.sort().values)


def test_filters_are_ranked_per_cost_even_if_one_of_them_saves_nothing() -> None:
    def steps(kept: Mapping[str, int]) -> float:
        return 1000.0 * -(-kept["conv1"] // 8) + -(-kept["conv2"] // 8) + kept["conv3"]

    masks = prune_by_ensembles(
        DigitsCNN(),
        _split(),
        FilterBudget(keep=0.6, cost=steps),
        ensemble=EXACT,
        losses=_losses,
        rounds=1,
    )
    assert masks.kept == {"conv1": 8, "conv2": 32, "conv3": 32}


@pytest.mark.parametrize("keep", [0.5, 1.0])
def test_ratios_of_groups_are_reached_in_rounds_like_the_budget(keep: float) -> None:
    reports: list[EnsembleProgress] = []
    prune_by_ensembles(
        DigitsCNN(),
        _split(),
        FilterBudget(keep=keep, ratios={"conv2": 0.25}),
        ensemble=EXACT,
        losses=_losses,
        rounds=2,
        report=reports.append,
    )
    assert [report.kept["conv2"] for report in reports] == [16, 8]


def test_meets_a_budget_on_macs_and_what_is_left_computes_the_same() -> None:
    model = TinyResNet(width=8).eval()
    split = _split()
    groups = find_channel_groups(model, split.images)
    macs = macs_after(model, groups, split.images)
    reports: list[EnsembleProgress] = []
    masks = prune_by_ensembles(
        model,
        split,
        FilterBudget(keep=0.6, cost=macs),
        rounds=2,
        ensemble=LinearFilterEnsemble(keep=0.8, per_unit=1.5),
        report=reports.append,
    )
    whole = macs({group.name: group.size for group in groups})
    assert macs(masks.kept) <= 0.6 * whole
    smaller = remove_filters(model, masks, split.images)
    loss = F.cross_entropy(smaller.eval()(split.images), split.labels)
    assert reports[-1].loss == pytest.approx(float(loss.detach()), rel=1e-4)


def test_rounds_see_what_is_gone() -> None:
    """After each round, the loss of the network without the removed filters is measured."""
    model, split = DigitsCNN(), _split()
    states: list[dict[str, Any]] = []
    reports: list[EnsembleProgress] = []
    prune_by_ensembles(
        model,
        split,
        FilterBudget(keep=0.3),
        rounds=3,
        ensemble=LinearFilterEnsemble(keep=0.8, per_unit=1, per_layer=True),
        save=states.append,
        report=reports.append,
    )
    groups = find_channel_groups(model, split.images)
    before = torch.ones(80, dtype=torch.bool)
    for state, report in zip(states, reports, strict=True):
        masks = FilterMasks(state["masks"], groups)
        with gated(model.eval(), masks.gates()):
            loss = F.cross_entropy(model(split.images), split.labels)
        assert report.loss == pytest.approx(float(loss.detach()), rel=1e-5)
        now = torch.cat(list(masks.values()))
        assert not (now & ~before).any()
        before = now


@pytest.mark.parametrize("per_layer", [False, True])
def test_what_is_gone_is_gone_for_every_evaluator(per_layer: bool) -> None:
    """Zeroed in a copy of the network, or masked for an evaluator that knows nothing of it."""
    model, split = DigitsCNN(), _split()
    groups = [group for group in find_channel_groups(model, split.images) if group.removable]
    options: dict[str, Any] = {
        "budget": FilterBudget(keep=0.2),
        "rounds": 3,
        "ensemble": LinearFilterEnsemble(keep=0.8, per_unit=1.5, per_layer=per_layer),
    }
    own = prune_by_ensembles(model, split, **options)
    other = prune_by_ensembles(model, split, losses=GateEvaluator(model, groups, split), **options)
    assert all(torch.equal(own[name], other[name]) for name in SIZES)


def test_what_is_gone_does_not_return_when_the_budget_would_allow_it() -> None:
    """Round 1 removes 8 cheap filters, then an expensive one, which alone nearly meets round 2."""
    worth = {name: torch.ones(size) for name, size in SIZES.items()}
    worth["conv1"][:8] = torch.arange(8) / 100
    worth["conv3"][5] = 0.5

    def losses(masks: Mapping[str, Tensor]) -> Tensor:
        return 9 - torch.stack([mask.float() @ worth[name] for name, mask in masks.items()]).sum(0)

    def cost(kept: Mapping[str, int]) -> float:
        return kept["conv1"] + 10 * kept["conv3"]

    model, split = DigitsCNN(), _split()
    groups = find_channel_groups(model, split.images)
    masks = prune_by_ensembles(
        model,
        split,
        FilterBudget(keep=0.9506, cost=cost),
        groups=[group for group in groups if group.name in ("conv1", "conv3")],
        rounds=2,
        ensemble=EXACT,
        losses=losses,
        per_cost=False,
    )
    assert masks.kept == {"conv1": 8, "conv3": 31}


def test_a_budget_of_cost_ranks_by_score_per_cost() -> None:
    """Filters of conv3 are worth a little more, and cost ten times as much."""
    worth = {"conv1": 1.0, "conv2": 9.0, "conv3": 1.5}

    def losses(masks: Mapping[str, Tensor]) -> Tensor:
        return 99 - torch.stack([m.double().sum(1) * worth[n] for n, m in masks.items()]).sum(0)

    def cost(kept: Mapping[str, int]) -> float:
        return kept["conv1"] + kept["conv2"] + 10 * kept["conv3"]

    def kept(per_cost: bool) -> dict[str, int]:
        return prune_by_ensembles(
            DigitsCNN(),
            _split(),
            FilterBudget(keep=1 - 16 / 368, cost=cost),
            ensemble=LinearFilterEnsemble(log=False, ridge=1e-6, keep=0.7, per_unit=2),
            losses=losses,
            rounds=1,
            per_cost=per_cost,
        ).kept

    assert kept(True) == {"conv1": 16, "conv2": 32, "conv3": 30}
    assert kept(False) == {"conv1": 1, "conv2": 32, "conv3": 31}


def test_warns_of_few_masks_and_of_masks_that_break_the_network() -> None:
    message = r"^an ensemble needs at least \d+ .*, 3 for each of \d+ units, .*, got \d+$"
    with pytest.warns(UserWarning, match=message):
        prune_by_ensembles(
            DigitsCNN(),
            _split(),
            FilterBudget(keep=0.9),
            ensemble=LinearFilterEnsemble(per_unit=1.5),
            losses=_losses,
            rounds=1,
        )
    model = DigitsCNN()
    split = replace(_split(), labels=model.eval()(_split().images).argmax(1))
    model.fc.weight.data *= 100  # certain of each label until filters are gone
    message = (
        r"^masked networks of an ensemble must be better than guessing, with loss \S+, to rank "
        r"filters; with keep=0\.5 the median loss is \S+, in round 1$"
    )
    with pytest.warns(UserWarning, match=message):
        prune_by_ensembles(
            model,
            split,
            FilterBudget(keep=0.9),
            ensemble=LinearFilterEnsemble(keep=0.5, per_unit=3),
            rounds=1,
        )


def test_warns_of_a_ranking_that_is_noise() -> None:
    def noise(masks: Mapping[str, Tensor]) -> Tensor:
        generator = torch.Generator().manual_seed(0)
        return torch.rand(len(masks["conv1"]), generator=generator)

    message = r"^masked networks .* sum over filters predicts, .*; got -\S+, in round 1$"
    with pytest.warns(UserWarning, match=message):
        prune_by_ensembles(
            DigitsCNN(),
            _split(),
            FilterBudget(keep=0.9),
            losses=noise,
            rounds=1,
            ensemble=LinearFilterEnsemble(per_unit=3),
        )


def _retrain(model: nn.Module, seen: list[float]) -> Any:
    def retrain(masks: FilterMasks) -> None:
        seen.append(masks.density)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(1.1).add_(0.01)

    return retrain


def test_goes_on_from_a_saved_round() -> None:
    options: dict[str, Any] = {
        "budget": FilterBudget(keep=0.4),
        "rounds": 3,
        "ensemble": LinearFilterEnsemble(keep=0.8, per_unit=1),
    }
    whole, seen = DigitsCNN(), []
    states: list[dict[str, Any]] = []
    expected = prune_by_ensembles(
        whole, _split(), retrain=_retrain(whole, seen), save=states.append, **options
    )
    assert len(seen) == len(states) == 3
    assert seen == sorted(seen, reverse=True)
    for state in states:
        model = DigitsCNN(seed=9)
        masks = prune_by_ensembles(
            model, _split(), retrain=_retrain(model, []), state=state, **options
        )
        assert all(torch.equal(masks[name], expected[name]) for name in expected)
        for name, value in model.state_dict().items():
            assert torch.equal(value, whole.state_dict()[name])


def test_refuses_what_cannot_be_done() -> None:
    model, split = DigitsCNN(), _split()
    groups = find_channel_groups(model, split.images)
    message = (
        "3 problems:\n  - pruning of filters needs at least one group that is removable, got none"
        "\n  - rounds must be at least 1, got 0"
        "\n  - an ensemble per layer needs a budget of filters, got one with a cost of the network"
    )
    with pytest.raises(PruneError, match=f"^{re.escape(message)}$"):
        prune_by_ensembles(
            model,
            split,
            FilterBudget(keep=0.5, cost=macs_after(model, groups, split.images)),
            groups=[group for group in groups if not group.removable],
            rounds=0,
            ensemble=LinearFilterEnsemble(per_layer=True),
        )
    state = {"round": 1, "masks": {"conv1": torch.ones(3).bool()}, "model": model.state_dict()}
    message = f"a state must be of the groups {SIZES}, got one of {{'conv1': 3}}"
    with pytest.raises(PruneError, match=f"^{re.escape(message)}$"):
        prune_by_ensembles(model, split, FilterBudget(keep=0.5), state=state)
