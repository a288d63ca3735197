"""Searches on a trained network: better than their ablations, and the same for all batch sizes."""

from collections.abc import Mapping
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from systolith.compress import (
    EnsemblePruning,
    FilterPruning,
    FilterScorePruning,
    MacBudget,
    Trainer,
    prune_model,
)
from systolith.data import Dataset, load_digits
from systolith.models import DigitsCNN
from systolith.network import Granularity, KOutOfN, Pattern
from systolith.prune import (
    FilterBudget,
    FilterScore,
    ScorePruner,
    find_channel_groups,
    prune_by_ensembles,
    prune_by_particles,
)
from systolith.prune.search import (
    BestOfRandom,
    EvaluationSplit,
    GateEvaluator,
    LayerPlan,
    LinearFilterEnsemble,
    ParticleFilter,
)
from systolith.train import Recipe, fit
from tests.support.slow import first_few

KERNELS = KOutOfN(4, 8, Granularity.KERNEL)
LAYERS = ("conv2", "conv3")


@cache
def _data(seed: int) -> Dataset:
    return load_digits(seed)


@cache
def _weights(seed: int) -> Mapping[str, Tensor]:
    model = DigitsCNN(seed)
    fit(model, _data(seed), epochs=20, seed=seed)
    return model.state_dict()


def _trained(seed: int) -> DigitsCNN:
    model = DigitsCNN(seed)
    model.load_state_dict(_weights(seed))
    return model.eval()


def _split(seed: int, images: int = 200, **sizes: int) -> EvaluationSplit:
    data = _data(seed)
    return EvaluationSplit(
        images=data.train_images[:images], labels=data.train_labels[:images], **sizes
    )


def _test_loss(model: nn.Module, seed: int) -> float:
    data = _data(seed)
    with torch.no_grad():
        return float(F.cross_entropy(model.eval()(data.test_images), data.test_labels))


@pytest.mark.parametrize("seed", first_few(range(2), 1))
def test_ensembles_rank_filters_as_their_absence_costs(seed: int) -> None:
    """The old settings: few masks that drop many filters, losses as they are, a weak penalty."""
    model, split = _trained(seed), _split(seed)
    groups = [group for group in find_channel_groups(model, split.images) if group.removable]
    kept = {group.name: torch.ones(group.size, dtype=torch.bool) for group in groups}
    evaluate = GateEvaluator(model, groups, split)
    truth = GateEvaluator(model, groups, _split(seed, 1000))
    costs = torch.cat([truth({g.name: ~torch.eye(g.size, dtype=torch.bool)}) for g in groups])

    def correlation(ensemble: LinearFilterEnsemble) -> tuple[float, float]:
        scores = ensemble.scores(evaluate, kept, seed)
        ranked = torch.cat([scores[group.name] for group in groups])
        ranks = torch.stack([ranked.argsort().argsort(), costs.argsort().argsort()]).double()
        return float(torch.corrcoef(ranks)[0, 1]), scores.held_out

    old = LinearFilterEnsemble(keep=0.9, per_unit=1.0, ridge=1.0, log=False)
    rank, held_out = correlation(LinearFilterEnsemble())
    assert held_out > 0.8
    assert rank > 0.65
    assert rank > correlation(old)[0] + 0.2


@pytest.mark.parametrize("seed", first_few(range(2), 1))
def test_particles_beat_magnitude_and_the_best_of_as_many_random_masks(seed: int) -> None:
    plan = dict.fromkeys(LAYERS, LayerPlan(select=KERNELS))
    losses = {}
    for kind in (ParticleFilter, BestOfRandom):
        model = _trained(seed)
        search = kind(particles=24, generations=10)
        prune_by_particles(model, _split(seed), plan, search=search, seed=seed)
        losses[kind] = _test_loss(model, seed)
    model = _trained(seed)
    patterns = dict.fromkeys(LAYERS, Pattern(select=KERNELS))
    ScorePruner(patterns=patterns).masks(model).apply_(model)
    assert losses[ParticleFilter] < 0.9 * _test_loss(model, seed)
    assert losses[ParticleFilter] < 0.7 * losses[BestOfRandom]


@pytest.mark.slow
@pytest.mark.parametrize("seed", first_few(range(2), 1))
def test_ensembles_beat_random_filters_and_magnitude_at_equal_epochs(seed: int) -> None:
    """All without reconstruction, which hides much of the choice on a small network."""

    def loss(pruning: FilterPruning) -> float:
        recipe = Recipe(prune_epochs=12, seed=seed)
        trainer = Trainer(data=_data(seed), recipe=recipe)
        return _test_loss(prune_model(_trained(seed), trainer, [pruning]).model, seed)

    shared: dict[str, Any] = {"keep": MacBudget(0.12), "reconstruct": False}
    ensembles = loss(EnsemblePruning(images=200, **shared))
    random = FilterScorePruning(score=FilterScore.RANDOM, per_layer=True, **shared)
    assert ensembles < 0.85 * loss(random)
    assert ensembles < 0.85 * loss(FilterScorePruning(per_layer=True, **shared))


@pytest.mark.parametrize(
    "sizes", [{"batch_size": 7, "folded": 21}, {"batch_size": 60, "folded": 1}]
)
def test_searches_give_the_same_for_all_batch_sizes(sizes: dict[str, int]) -> None:
    search, plan = ParticleFilter(particles=10, generations=4), {"conv3": LayerPlan(select=KERNELS)}
    ensemble = LinearFilterEnsemble(per_unit=3)
    kernels, filters = [], []
    for split in (_split(0, 60), _split(0, 60, **sizes)):
        kernels.append(prune_by_particles(_trained(0), split, plan, search=search))
        filters.append(
            prune_by_ensembles(
                _trained(0), split, FilterBudget(keep=0.6), rounds=2, ensemble=ensemble
            )
        )
    for first, second in (kernels, filters):
        assert all(torch.equal(mask, second[name]) for name, mask in first.items())
