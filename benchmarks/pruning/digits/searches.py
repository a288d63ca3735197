"""Searches by forward passes: particles and ensembles against random and magnitude masks."""

import warnings
from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor

from benchmarks.pruning.digits.bench import EPOCHS, DigitsBench, Trial
from systolith.compress import (
    EnsemblePruning,
    FilterPruning,
    FilterScorePruning,
    MacBudget,
    TaylorPruning,
    Trainer,
    prune_model,
)
from systolith.data import hold_out
from systolith.network import Granularity, KOutOfN, Pattern
from systolith.prune import (
    BestOfRandom,
    EvaluationSplit,
    FilterBudget,
    FilterScore,
    FrozenMasks,
    LayerPlan,
    LinearFilterEnsemble,
    Loss,
    MaskSet,
    ParticleFilter,
    ScorePruner,
    find_channel_groups,
    macs_after,
    prune_by_ensembles,
    prune_by_particles,
    remove_filters,
    score_filters,
    taylor_scores,
)
from systolith.prune.search import GateEvaluator
from systolith.train import Recipe

SHARES = (0.12, 0.3)
"""Of the MACs."""
KERNELS = {f"{k}of8": KOutOfN(k, 8, Granularity.KERNEL) for k in (4, 1)}
SEARCHED = ("conv2", "conv3")
PARTICLES, GENERATIONS = 32, 12
IMAGES = 200
TRUE_IMAGES = 1000
BATCH = 64
OLD = LinearFilterEnsemble(keep=0.9, per_unit=1.0, ridge=1.0, log=False)
"""Few masks that drop many filters, a weak penalty: the ranking is near noise."""


def search_kernels(
    bench: DigitsBench, method: str, select: KOutOfN, loss: Loss
) -> Mapping[str, float]:
    """Keep k of 8 kernels in two layers; judge before and after 12 epochs."""
    model = bench.trained()
    masks = _kernel_masks(bench, method, select, loss)
    masks.apply_(model)
    before = bench.judge(model)
    bench.fit(model, sparsifier=FrozenMasks(masks))
    masks.apply_(model)
    return {**{f"{name}_before": value for name, value in before.items()}, **bench.judge(model)}


def _kernel_masks(bench: DigitsBench, method: str, select: KOutOfN, loss: Loss) -> MaskSet:
    model, generator = bench.trained(), torch.Generator().manual_seed(bench.seed)
    patterns = dict.fromkeys(SEARCHED, Pattern(select=select))

    def random(name: str, weight: Tensor) -> Tensor:
        return torch.rand(weight.shape, generator=generator)

    match method:
        case "random":
            return ScorePruner(patterns=patterns, score=random).masks(model)
        case "magnitude":
            return ScorePruner(patterns=patterns).masks(model)
    kind = {"particles": ParticleFilter, "best-of-random": BestOfRandom}[method]
    plan = dict.fromkeys(SEARCHED, LayerPlan(select=select))
    search = kind(particles=PARTICLES, generations=GENERATIONS)
    return prune_by_particles(model, _split(bench, loss), plan, search=search, seed=bench.seed)


def prune_with(bench: DigitsBench, pruning: FilterPruning) -> Mapping[str, float]:
    """Remove filters and train for 12 epochs in all, as an experiment file does."""
    model = bench.trained()
    recipe = Recipe(prune_epochs=EPOCHS, learning_rate=3e-3, seed=bench.seed)
    return bench.judge(prune_model(model, Trainer(data=bench.data, recipe=recipe), [pruning]).model)


def prune_by_old_ensemble(bench: DigitsBench, share: float) -> Mapping[str, float]:
    """Remove filters in one round by few masks that drop many, then train for 12 epochs."""
    model, split = bench.trained(), _split(bench, Loss.CROSS_ENTROPY)
    groups = find_channel_groups(model, split.images)
    budget = FilterBudget(keep=share, cost=macs_after(model, groups, split.images), min_ratio=0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of exactly this
        masks = prune_by_ensembles(
            model, split, budget, groups=groups, rounds=1, ensemble=OLD, per_cost=False
        )
    small = remove_filters(model, masks, split.images)
    bench.fit(small)
    return bench.judge(small)


def rank_filters(bench: DigitsBench, method: str) -> Mapping[str, float]:
    """Rank correlation with the loss that each filter's absence costs, on 1,000 images."""
    model, data = bench.trained(), bench.data
    split = _split(bench, Loss.CROSS_ENTROPY)
    groups = [group for group in find_channel_groups(model, split.images) if group.removable]
    kept = {group.name: torch.ones(group.size, dtype=torch.bool) for group in groups}
    images, labels = data.train_images[:TRUE_IMAGES], data.train_labels[:TRUE_IMAGES]
    truth = GateEvaluator(model, groups, EvaluationSplit(images=images, labels=labels))
    costs = torch.cat([truth({g.name: ~torch.eye(g.size, dtype=torch.bool)}) for g in groups])
    scores: Mapping[str, Tensor]
    held_out = {}
    match method:
        case "taylor":
            batches = zip(split.images.split(BATCH), split.labels.split(BATCH), strict=True)
            scores = taylor_scores(model, groups, batches)
        case "l1":
            scores = score_filters(model, groups, FilterScore.L1)
        case _:
            ensemble = {"lfe": LinearFilterEnsemble(), "lfe-old": OLD}[method]
            fitted = ensemble.scores(GateEvaluator(model, groups, split), kept, bench.seed)
            scores, held_out = fitted, {"held_out_r2": fitted.held_out}
    ranked = torch.cat([scores[group.name].double() for group in groups])
    return {"rank_correlation": _rank_correlation(ranked, costs), **held_out}


def _rank_correlation(first: Tensor, second: Tensor) -> float:
    ranks = torch.stack([first.argsort().argsort(), second.argsort().argsort()]).double()
    return float(torch.corrcoef(ranks)[0, 1])


def _split(bench: DigitsBench, loss: Loss) -> EvaluationSplit:
    held = hold_out(bench.data, IMAGES, bench.seed)
    return EvaluationSplit(images=held.images, labels=held.labels, loss=loss)


def _prunings(share: float, *, reconstruct: bool) -> Mapping[str, FilterPruning]:
    budget = MacBudget(share)
    shared = {"keep": budget, "reconstruct": reconstruct}
    return {
        "random": FilterScorePruning(score=FilterScore.RANDOM, per_layer=True, **shared),
        "l1": FilterScorePruning(per_layer=True, **shared),
        "lfe": EnsemblePruning(images=IMAGES, **shared),
        "lfe-1-round": EnsemblePruning(images=IMAGES, rounds=1, **shared),
        **({} if reconstruct else {"taylor": TaylorPruning(keep=budget)}),
    }


TRIALS: Mapping[str, Trial] = {
    **{
        f"ranking-{method}": partial(rank_filters, method=method)
        for method in ("l1", "taylor", "lfe-old", "lfe")
    },
    **{
        f"kernels-{method}-{name}": partial(
            search_kernels, method=method, select=select, loss=Loss.CROSS_ENTROPY
        )
        for name, select in KERNELS.items()
        for method in ("random", "best-of-random", "magnitude", "particles")
    },
    "kernels-particles-4of8-misclassification": partial(
        search_kernels, method="particles", select=KERNELS["4of8"], loss=Loss.MISCLASSIFICATION
    ),
    **{
        f"{name}-{share * 100:.0f}%": trial
        for share in SHARES
        for name, trial in {
            **{
                name: partial(prune_with, pruning=pruning)
                for name, pruning in _prunings(share, reconstruct=False).items()
            },
            "lfe-old": partial(prune_by_old_ensemble, share=share),
        }.items()
    },
    **{
        f"{name}-{SHARES[0] * 100:.0f}%-reconstructed": partial(prune_with, pruning=pruning)
        for name, pruning in _prunings(SHARES[0], reconstruct=True).items()
    },
}
