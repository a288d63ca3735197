"""Carry out the methods that remove filters."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from systolith.compress.budgets import MacBudget, ParameterBudget
from systolith.compress.ensembles import choose_by_ensembles, warn_of_weak_ensembles
from systolith.compress.methods import (
    DJPQPruning,
    DPPFilterPruning,
    EnsemblePruning,
    FilterPruning,
    FilterRemoval,
    FilterScorePruning,
    GDPPruning,
    TaylorPruning,
)
from systolith.compress.trainer import Trainer
from systolith.data import Dataset
from systolith.prune import (
    GDP,
    ChannelGroup,
    DPPFilters,
    FilterBudget,
    FilterMasks,
    FilterSparsifier,
    KeptCost,
    PruneError,
    TaylorGates,
    check_budget,
    find_channel_groups,
    macs_after,
    match_ratios,
    parameters_after,
    reconstruct_consumers_,
    remove_filters,
    score_filters,
    select_filters,
    select_filters_by_layer,
    taylor_scores,
    uniform_filters,
)
from systolith.quant import DJPQ, LayerBits
from systolith.train import TrainingObjective
from systolith.train.targets import arrange_targets, default_objective

__all__ = ["check_removal", "choose_filters", "learn_filters_and_bits", "remove_chosen_filters"]

UPDATES = 10
"""Number of times that a short training chooses masks."""
GDP_INTERVAL, TAYLOR_BATCHES = 100, 30
"""Optimizer steps between two choices in a long training."""
GDP_BEGIN, GDP_FREEZE_AT = 0.05, 0.5
"""Part of the training in which GDP chooses masks."""
SCORED_BATCHES = 20
"""Batches of training images that initial Taylor scores are averaged over."""


def check_removal(model: nn.Module, trainer: Trainer, pruning: FilterRemoval) -> None:
    """Check, before any training, that a method fits the model.

    Raises
    ------
    PruneError
        If no filter can be removed, the budget cannot be met, or a method that chooses while
        training has no epochs.

    Warns
    -----
    UserWarning
        If the method needs more steps, or more masked networks.
    """
    groups = find_channel_groups(model, trainer.data.train_images[:2])
    if isinstance(pruning, EnsemblePruning):
        warn_of_weak_ensembles(groups, trainer, pruning)
    if isinstance(pruning, FilterPruning):
        budget = _budget(model, groups, trainer.data, pruning)
        check_budget(groups, budget)
        if isinstance(pruning, FilterScorePruning):
            score_filters(model, groups, pruning.score)
        if isinstance(pruning, GDPPruning | TaylorPruning):
            if not trainer.prune_epochs(pruning):
                problem = f"prune: {pruning.method} chooses filters in its epochs, but has 0"
                raise PruneError([problem])
            sparsifier = _choose_while_training(trainer, pruning, groups, budget)
            sparsifier.check_steps(trainer.prune_steps(pruning))
    elif not any(group.removable for group in groups):
        raise PruneError(["a network needs filters that can be removed, got none"])


def choose_filters(
    model: nn.Module, trainer: Trainer, pruning: FilterPruning, phase: str
) -> FilterMasks:
    """Choose the filters to keep by training, in place, or by a search."""
    groups = find_channel_groups(model, trainer.data.train_images[:2])
    budget = _budget(model, groups, trainer.data, pruning)
    sparsifier: FilterSparsifier
    match pruning:
        case GDPPruning() | TaylorPruning():
            sparsifier = _choose_while_training(trainer, pruning, groups, budget)
        case DPPFilterPruning():
            scores = None
            if pruning.taylor_init:
                scores = taylor_scores(model, groups, _batches(trainer), _choose_loss(trainer))
            sparsifier = DPPFilters(
                groups,
                keep=uniform_filters(groups, budget),
                scores=scores,
                seed=trainer.recipe.seed,
            )
        case FilterScorePruning():
            scores = score_filters(model, groups, pruning.score, seed=trainer.recipe.seed)
            select = select_filters_by_layer if pruning.per_layer else select_filters
            return select(groups, scores, budget)
        case EnsemblePruning():
            return choose_by_ensembles(model, trainer, pruning, phase, groups, budget)
        case _:
            raise AssertionError(pruning)
    trainer.fit(model, phase, sparsifier, pruning)
    return sparsifier.filters(model)


def _choose_while_training(
    trainer: Trainer,
    pruning: GDPPruning | TaylorPruning,
    groups: tuple[ChannelGroup, ...],
    budget: FilterBudget,
) -> GDP | TaylorGates:
    """Make a sparsifier whose choices are done by half of the training."""
    steps = max(trainer.prune_steps(pruning), 1)
    if isinstance(pruning, GDPPruning):
        choosing = int(steps * (GDP_FREEZE_AT - GDP_BEGIN))
        return GDP(
            groups,
            budget,
            interval=min(GDP_INTERVAL, max(choosing // UPDATES, 2)),
            begin=GDP_BEGIN,
            freeze_at=GDP_FREEZE_AT,
            per_cost=pruning.per_cost,
        )
    units = sum(group.size for group in groups if group.removable)
    batches = min(TAYLOR_BATCHES, max(steps // UPDATES // 2, 1))
    rounds = max(steps // batches // 2, 1)
    return TaylorGates(groups, budget, batches=batches, per_round=-(-units // rounds))


def learn_filters_and_bits(
    model: nn.Module, trainer: Trainer, pruning: DJPQPruning, phase: str
) -> tuple[FilterMasks, dict[str, LayerBits]]:
    """Train gates and bit widths together with the weights."""
    djpq = DJPQ(
        model,
        find_channel_groups(model, trainer.data.train_images[:2]),
        trainer.data.calibration_images,
        information=pruning.information,
        bit_operations=pruning.bit_operations,
        power_of_two=pruning.power_of_two,
        seed=trainer.recipe.seed,
    )
    trainer.fit(model, phase, djpq, pruning)
    return djpq.filters(model), djpq.bits()


def remove_chosen_filters(
    model: nn.Module, trainer: Trainer, pruning: FilterRemoval, masks: FilterMasks
) -> nn.Module:
    """Make the smaller network; reconstruct the layers behind removed filters if wanted.

    Filters that a training has masked leave without a change, so nothing is to be reconstructed;
    ensembles have reconstructed after each round.
    """
    small = remove_filters(model, masks, trainer.data.train_images[:2])
    if isinstance(pruning, FilterScorePruning) and pruning.reconstruct:
        reconstruct_consumers_(small, model, masks, trainer.data.calibration_images)
    return small


def _budget(
    model: nn.Module, groups: tuple[ChannelGroup, ...], data: Dataset, pruning: FilterPruning
) -> FilterBudget:
    images = data.train_images[:2]

    def count(budget: MacBudget | ParameterBudget) -> KeptCost:
        after = macs_after if isinstance(budget, MacBudget) else parameters_after
        return after(model, groups, images)

    keep: float | tuple[float, ...]
    cost: KeptCost | tuple[KeptCost, ...] | None = None
    match pruning.keep:
        case MacBudget() | ParameterBudget() as budget:
            keep, cost = budget.share, count(budget)
        case tuple() as budgets:
            keep, cost = tuple(budget.share for budget in budgets), tuple(map(count, budgets))
        case share:
            keep = share
    return FilterBudget(
        keep=keep,
        cost=cost,
        min_ratio=pruning.min_ratio,
        multiple_of=pruning.multiple_of,
        ratios=match_ratios(groups, pruning.ratios),
    )


def _batches(trainer: Trainer) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches of training images, drawn with the recipe's seed."""
    data, size = trainer.data, trainer.recipe.batch_size
    generator = torch.Generator().manual_seed(trainer.recipe.seed)
    order = torch.randperm(len(data.train_images), generator=generator)
    for indices in torch.split(order[: SCORED_BATCHES * size], size):
        yield data.train_images[indices], data.train_targets[indices]


def _choose_loss(trainer: Trainer) -> TrainingObjective:
    """Return the loss of the scores: cross entropy for classes, else that of the training."""
    kind = trainer.data.target
    if kind.is_classes:
        return F.cross_entropy
    objective = trainer.recipe.objective or default_objective(kind)
    return lambda outputs, targets: objective(outputs, arrange_targets(targets, outputs, kind))
