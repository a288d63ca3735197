"""Filters: each method against random filters; wrong masks that GDP has to correct."""

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor

from benchmarks.pruning.digits.bench import EPOCHS, DigitsBench, Trial
from systolith.compress import (
    DPPFilterPruning,
    FilterPruning,
    FilterScorePruning,
    GDPPruning,
    MacBudget,
    TaylorPruning,
    Trainer,
    prune_model,
)
from systolith.compress.filters import choose_filters
from systolith.prune import (
    GDP,
    ChannelGroup,
    FilterBudget,
    FilterMasks,
    FilterScore,
    FrozenFilters,
    count_costs,
    find_channel_groups,
    macs_after,
    reconstruct_consumers_,
    remove_filters,
    select_filters,
    taylor_scores,
    unit_costs,
)
from systolith.prune.filters import divide_by_costs
from systolith.train import Algorithm, Recipe

SHARES = (0.12, 0.3)
"""Of the MACs."""
LEARNING_RATE = 3e-3
"""Half of it while pruning, the rate of all trials."""
GOOD, KEPT = 0.4, 0.6
"""Share of the filters that wrong masks remove, the best; and that they keep."""
RECONSTRUCTED = (FilterScore.L1, FilterScore.FPGM, FilterScore.BATCH_NORM)
"""Also measured with layers reconstructed after filters have left, as is the default."""
SCORED_BATCHES, BATCH = 10, 64
CHOOSING_EPOCHS = 4


def prune_with(bench: DigitsBench, pruning: FilterPruning) -> Mapping[str, float]:
    """Prune and train for 12 epochs in all, as an experiment file does."""
    model = bench.trained()
    recipe = Recipe(prune_epochs=EPOCHS, learning_rate=LEARNING_RATE, seed=bench.seed)
    small = prune_model(model, Trainer(data=bench.data, recipe=recipe), [pruning]).model
    macs = count_costs(small, bench.data.train_images[:2]).macs
    return {
        **bench.judge(small),
        "macs": macs / count_costs(model, bench.data.train_images[:2]).macs,
        **{f"kept_{name}": float(len(model.weight)) for name, model in convolutions(small)},
    }


def keep_as_many_at_random(bench: DigitsBench, pruning: FilterPruning) -> Mapping[str, float]:
    """Keep as many filters of each layer as another method, but random ones."""
    sizes, row = dict(convolutions(bench.trained())), prune_with(bench, pruning)
    ratios = {name: row[f"kept_{name}"] / len(module.weight) for name, module in sizes.items()}
    score = FilterScore.RANDOM
    chosen = FilterScorePruning(
        keep=1.0, ratios=ratios, min_ratio=0.0, score=score, reconstruct=False
    )
    return prune_with(bench, chosen)


def reconstruct_filters_of_gdp(bench: DigitsBench, share: float) -> Mapping[str, float]:
    """Let GDP choose filters in 4 epochs; reconstruct the trained network, train for 8 more."""
    images = bench.data.train_images[:2]
    recipe = Recipe(prune_epochs=CHOOSING_EPOCHS, learning_rate=LEARNING_RATE, seed=bench.seed)
    trainer = Trainer(data=bench.data, recipe=recipe)
    pruning = GDPPruning(keep=MacBudget(share))
    chosen = choose_filters(bench.trained(), trainer, pruning, "choice")
    masks = FilterMasks(dict(chosen), find_channel_groups(bench.trained(), images))
    return _reconstruct(bench, masks, EPOCHS - CHOOSING_EPOCHS)


def reconstruct_filters_of_taylor(bench: DigitsBench, share: float) -> Mapping[str, float]:
    """Keep the filters with the highest Taylor scores per MAC at once, reconstruct, and train."""
    model, images = bench.trained(), bench.data.train_images[:2]
    groups = find_channel_groups(model, images)
    cost = macs_after(model, groups, images)
    scores = taylor_scores(model, groups, _batches(bench))
    sizes = {name: len(score) for name, score in scores.items()}
    worth = divide_by_costs(scores, unit_costs(sizes, cost))
    budget = FilterBudget(keep=share, cost=cost, min_ratio=0.1)
    return _reconstruct(bench, select_filters(groups, worth, budget), EPOCHS)


def _reconstruct(bench: DigitsBench, masks: FilterMasks, epochs: int) -> Mapping[str, float]:
    model, images = bench.trained(), bench.data.train_images[:2]
    small = remove_filters(model, masks, images)
    reconstruct_consumers_(small, model, masks, bench.data.calibration_images)
    bench.fit(small, epochs=epochs, learning_rate=LEARNING_RATE / 2, seed=bench.seed)
    macs = count_costs(small, images).macs / count_costs(model, images).macs
    return {**bench.judge(small), "macs": macs}


def convolutions(model: torch.nn.Module) -> list[tuple[str, torch.nn.Conv2d]]:
    return [(n, m) for n, m in model.named_modules() if isinstance(m, torch.nn.Conv2d)]


def correct_wrong_masks(
    bench: DigitsBench, algorithm: Algorithm, *, frozen: bool
) -> Mapping[str, float]:
    """Mask the best 40 % of the filters, train with GDP or with these masks frozen."""
    model, images = bench.trained(), bench.data.train_images[:2]
    groups = find_channel_groups(model, images)
    wrong = mask_the_best(bench, groups)
    rate = 0.05 if algorithm is Algorithm.SGD else LEARNING_RATE / 2
    gdp = GDP(groups, FilterBudget(keep=KEPT), interval=10, begin=0.0)
    gdp.load_state_dict({**gdp.state_dict(), "masks": dict(wrong), "ramp": 1.0})
    sparsifier = FrozenFilters(wrong) if frozen else gdp
    bench.fit(model, sparsifier=sparsifier, algorithm=algorithm, learning_rate=rate)
    masks = sparsifier.filters(model)
    late = gdp.changes[len(gdp.changes) // 2 :]
    returned = sum(int((masks[name] & ~wrong[name]).sum()) for name in masks)
    return {
        **bench.judge(remove_filters(model, masks, images)),
        "wrong": float(sum(int((~mask).sum()) for mask in wrong.values())),
        "returned": float(returned),
        "changes_first_half": float(sum(gdp.changes[: len(gdp.changes) // 2])),
        "changes_second_half": float(sum(late)),
    }


def mask_the_best(bench: DigitsBench, groups: tuple[ChannelGroup, ...]) -> FilterMasks:
    """Masks that remove the filters with the highest Taylor scores, but keep one of each layer."""
    scores = taylor_scores(bench.trained(), groups, _batches(bench))
    masks = {}
    for name, best in select_filters(groups, scores, FilterBudget(keep=GOOD)).items():
        masks[name] = ~best
        if best.all():
            masks[name][scores[name].argmin()] = True
    return FilterMasks(masks, groups)


def _batches(bench: DigitsBench) -> list[tuple[Tensor, Tensor]]:
    data = bench.data
    return [
        (data.train_images[first : first + BATCH], data.train_labels[first : first + BATCH])
        for first in range(0, SCORED_BATCHES * BATCH, BATCH)
    ]


def _prunings(share: float) -> Mapping[str, FilterPruning]:
    budget = MacBudget(share)
    plain = {
        score.value: FilterScorePruning(keep=budget, score=score, reconstruct=False)
        for score in FilterScore
    }
    reconstructed = {
        f"{score.value}-reconstructed": FilterScorePruning(keep=budget, score=score)
        for score in (*RECONSTRUCTED, FilterScore.RANDOM)
    }
    return {
        **plain,
        **reconstructed,
        "l1-per-layer": FilterScorePruning(keep=budget, per_layer=True, reconstruct=False),
        "random-per-layer": FilterScorePruning(
            keep=budget, per_layer=True, score=FilterScore.RANDOM, reconstruct=False
        ),
        "taylor": TaylorPruning(keep=budget),
        "gdp": GDPPruning(keep=budget),
        "gdp-not-per-cost": GDPPruning(keep=budget, per_cost=False),
        "dpp-filters": DPPFilterPruning(keep=budget),
    }


TRIALS: Mapping[str, Trial] = {
    **{
        f"{name}-{share * 100:.0f}%": partial(prune_with, pruning=pruning)
        for share in SHARES
        for name, pruning in _prunings(share).items()
    },
    **{
        f"random-as-gdp-{share * 100:.0f}%": partial(
            keep_as_many_at_random, pruning=GDPPruning(keep=MacBudget(share))
        )
        for share in SHARES
    },
    "gdp-reconstructed-12%": partial(reconstruct_filters_of_gdp, share=SHARES[0]),
    "taylor-per-cost-reconstructed-12%": partial(reconstruct_filters_of_taylor, share=SHARES[0]),
    **{
        f"wrong-{'frozen' if frozen else 'gdp'}-{algorithm.value}": partial(
            correct_wrong_masks, algorithm=algorithm, frozen=frozen
        )
        for algorithm in Algorithm
        for frozen in (True, False)
    },
}
