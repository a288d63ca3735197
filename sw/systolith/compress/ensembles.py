"""Carry out linear filter ensembles: rounds of removal with training between them."""

import warnings
from collections.abc import Sequence
from itertools import count, pairwise

from torch import nn

from systolith.compress.methods import EnsemblePruning
from systolith.compress.trainer import Trainer
from systolith.prune import (
    ChannelGroup,
    FilterBudget,
    FilterMasks,
    FrozenFilters,
    LinearFilterEnsemble,
    Loss,
    prune_by_ensembles,
)
from systolith.prune.posttraining import reconstruct_masked_consumers_
from systolith.prune.search.rounds import warn_of_few_masks

__all__ = ["choose_by_ensembles", "split_epochs", "warn_of_weak_ensembles"]

BETWEEN = 3
"""Divisor of the epochs that are spent between rounds of an ensemble; the rest is at the end."""


def choose_by_ensembles(
    model: nn.Module,
    trainer: Trainer,
    pruning: EnsemblePruning,
    phase: str,
    groups: Sequence[ChannelGroup],
    budget: FilterBudget,
) -> FilterMasks:
    """Remove filters in rounds, and train after all but the last, which is left to the caller."""
    state = trainer.load_search(phase)
    total = trainer.prune_epochs(pruning)
    _warn_of_few_epochs(total, pruning)
    epochs = split_epochs(total, pruning.rounds)
    numbers = count(0 if state is None else state["round"])

    masked = None if state is None else FilterMasks(state["masks"], groups)

    def retrain(masks: FilterMasks) -> None:
        nonlocal masked
        number = next(numbers)
        if pruning.reconstruct:
            images = trainer.data.calibration_images
            reconstruct_masked_consumers_(model, masked, masks, images)
        if number + 1 < pruning.rounds and epochs[number]:
            trainer.fit(
                model,
                f"{phase}-round-{number + 1}",
                FrozenFilters(masks),
                pruning,
                epochs=epochs[number],
                seed=trainer.recipe.seed + 2 + number,
            )
        masked = masks

    return prune_by_ensembles(
        model,
        trainer.hold_out(pruning.images, Loss.CROSS_ENTROPY),
        budget,
        groups=groups,
        rounds=pruning.rounds,
        ensemble=_make_ensemble(groups, pruning),
        seed=trainer.recipe.seed,
        retrain=retrain,
        save=lambda state: trainer.save_search(phase, state),
        state=state,
    )


def split_epochs(epochs: int, rounds: int) -> list[int]:
    """Split epochs over rounds: a third between them, as evenly as possible, the rest at the end.

    Examples
    --------
    >>> split_epochs(12, 5)
    [1, 1, 1, 1, 8]
    """
    between = epochs // BETWEEN if rounds > 1 else 0
    gaps = max(rounds - 1, 1)
    ends = [(between * done + gaps // 2) // gaps for done in range(rounds)]
    return [*(end - start for start, end in pairwise(ends)), epochs - between]


def warn_of_weak_ensembles(
    groups: Sequence[ChannelGroup], trainer: Trainer, pruning: EnsemblePruning
) -> None:
    """Warn, before any training, of too few masked networks or too few epochs."""
    units = sum(group.size for group in groups if group.removable)
    warn_of_few_masks(_make_ensemble(groups, pruning), units)
    _warn_of_few_epochs(trainer.prune_epochs(pruning), pruning)


def _make_ensemble(
    groups: Sequence[ChannelGroup], pruning: EnsemblePruning
) -> LinearFilterEnsemble:
    """Make an ensemble with the wanted members, but with one for each unit at least."""
    if pruning.members is None:
        return LinearFilterEnsemble()
    units = sum(group.size for group in groups if group.removable)
    return LinearFilterEnsemble(per_unit=max(pruning.members / max(units, 1), 1.0))


def _warn_of_few_epochs(epochs: int, pruning: EnsemblePruning) -> None:
    if 0 < epochs < (least := BETWEEN * (pruning.rounds - 1)):
        warnings.warn(
            f"prune: lfe trains between rounds, which needs at least {least} epochs for "
            f"{pruning.rounds} rounds, got {epochs}",
            stacklevel=4,
        )
