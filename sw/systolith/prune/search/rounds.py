"""Filters removed in rounds: score by an ensemble, remove the lowest, retrain."""

import copy
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from math import ceil
from time import monotonic
from typing import Any

import torch
from torch import Tensor, nn

from systolith.foundation import Progress
from systolith.prune.errors import PruneError
from systolith.prune.filters import (
    ChannelGroup,
    FilterBudget,
    FilterMasks,
    KeptCost,
    divide_by_costs,
    find_channel_groups,
    select_filters,
    unit_costs,
)
from systolith.prune.search.ensembles import (
    EnsembleScores,
    FilterLosses,
    LinearFilterEnsemble,
)
from systolith.prune.search.evaluation import GateEvaluator
from systolith.prune.search.split import EvaluationSplit

__all__ = ["FEWEST_MASKS", "EnsembleProgress", "prune_by_ensembles", "warn_of_few_masks"]

FEWEST_MASKS = 3
"""Masked networks per unit below which a ranking is hardly better than chance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnsembleProgress(Progress):
    """State of pruning by ensembles, after a round; `done` and `total` count rounds.

    Parameters
    ----------
    kept : mapping of str to int
        Units kept, by group.
    loss : float
        Without the removed units, before retraining.
    held_out : float
        Share of the variance of masked networks' losses that the scores explain, by
        cross-validation; see :attr:`AdditiveModel.held_out`.
    seconds_left : float
        Estimate for the other rounds, from the mean of those done in this run.
    """

    kept: Mapping[str, int]
    loss: float
    held_out: float
    seconds_left: float

    @property
    def round(self) -> int:
        """Finished rounds."""
        return int(self.done)

    @property
    def rounds(self) -> int:
        """All rounds."""
        return int(self.total)


def prune_by_ensembles(
    model: nn.Module,
    split: EvaluationSplit,
    budget: FilterBudget,
    *,
    groups: Iterable[ChannelGroup] | None = None,
    rounds: int = 5,
    ensemble: LinearFilterEnsemble | None = None,
    losses: FilterLosses | None = None,
    per_cost: bool = True,
    seed: int = 0,
    retrain: Callable[[FilterMasks], None] | None = None,
    report: Callable[[EnsembleProgress], None] | None = None,
    save: Callable[[dict[str, Any]], None] | None = None,
    state: Mapping[str, Any] | None = None,
) -> FilterMasks:
    """Remove the filters with the lowest scores of ensembles, some in each round.

    After round r of R, the share ``budget.keep ** (r / R)`` of each cost is kept, and likewise each
    ratio of a single group, so each round removes the same share of what is left.

    Parameters
    ----------
    model : nn.Module
        Changed only by `retrain` and `state`.
    split : EvaluationSplit
        Held-out training images. Cross entropy needs fewer of them than misclassification.
    budget : FilterBudget
        Budget after the last round; of every group, if the ensemble is per layer.
    groups : iterable of ChannelGroup, optional
        Groups whose filters may be removed; by default, all removable ones. Leave out the groups
        of shortcuts to prune only inside residual blocks.
    rounds : int
        At least 1.
    ensemble : LinearFilterEnsemble, optional
    losses : callable, optional
        Evaluates another masked network, such as a quantized or simulated one, instead of `model`
        on `split`; called with masks of all groups.
    per_cost : bool
        Divide scores by the cost of a filter, :func:`systolith.prune.unit_costs` of the network
        that is left, if the budget has a cost. Otherwise the cheap filters of wide layers leave
        first, and many more of them.
    seed : int
        Round r draws masks with ``seed + r``.
    retrain : callable, optional
        Called after each round with the masks; trains the model in place.
    report : callable, optional
        Called after each round.
    save : callable, optional
        Called after each round with a dict that suffices to continue.
    state : mapping, optional
        Argument of an earlier `save`; only later rounds run, with the same results.

    Returns
    -------
    FilterMasks
        Masks for :func:`systolith.prune.remove_filters`.

    Raises
    ------
    PruneError
        If no group is removable, the budget cannot be met, the state is of other groups, or the
        network cannot be evaluated.

    Warns
    -----
    UserWarning
        If scores say little: there are fewer than :data:`FEWEST_MASKS` masks per unit, the median
        masked network is worse than one that guesses, or held-out losses are not explained.

    Notes
    -----
    Sandor, Pavel, Csato: Pruning CNN's with linear filter ensembles (ECAI 2020; arXiv 2001.08142).

    Measured on digits at 12 % of the MACs, equal epochs: as good as Taylor gates, and better than
    random filters; if the layers behind are reconstructed, not better than those by more than a
    standard error.

    **Deviation:** filters are removed until a budget on any cost is met, by their scores per cost.
    """
    ensemble = LinearFilterEnsemble() if ensemble is None else ensemble
    given = find_channel_groups(model, split.images) if groups is None else groups
    removable = tuple(group for group in given if group.removable)
    sizes = {group.name: group.size for group in removable}
    PruneError.raise_if_any(_problems(sizes, rounds, ensemble, budget, state))
    warn_of_few_masks(ensemble, sum(sizes.values()))
    masks = {name: torch.ones(size, dtype=torch.bool) for name, size in sizes.items()}
    before = 0
    if state is not None:
        model.load_state_dict(state["model"])
        masks = {name: mask.clone() for name, mask in state["masks"].items()}
        before = state["round"]
    start = monotonic()
    for done in range(before + 1, rounds + 1):
        current = _masked(model, removable, masks, split) if losses is None else _all(losses, masks)
        scores = ensemble.scores(current, masks, seed + done)
        for problem in _noise_reasons(scores, ensemble, masks, split if losses is None else None):
            warnings.warn(f"{problem}, in round {done}", stacklevel=2)
        current_budget = budget.relaxed(partial(pow, exp=done / rounds))
        worth = _per_cost(scores, masks, budget.ranking_cost) if per_cost else scores
        chosen = _select(removable, worth, current_budget, ensemble.per_layer)
        # Removed filters stay removed, even if rounding removed more than this share.
        masks = {name: mask & chosen[name] for name, mask in masks.items()}
        kept = _filters(model, removable, masks)
        loss = float(current({name: mask[None] for name, mask in masks.items()}))
        if retrain is not None:
            retrain(kept)
        if report is not None:
            seconds = (monotonic() - start) / (done - before) * (rounds - done)
            report(_describe_round(done, rounds, kept, loss, scores.held_out, seconds))
        if save is not None:
            weights = {name: value.clone() for name, value in model.state_dict().items()}
            save({"round": done, "masks": dict(masks), "model": weights})
    return _filters(model, removable, masks)


def warn_of_few_masks(ensemble: LinearFilterEnsemble, units: int) -> None:
    """Warn of an ensemble with fewer than :data:`FEWEST_MASKS` masks for each of these units."""
    if ensemble.per_unit < FEWEST_MASKS:
        warnings.warn(
            f"an ensemble needs at least {FEWEST_MASKS * units} masked networks, {FEWEST_MASKS} "
            f"for each of {units} units, to rank filters, got {ceil(ensemble.per_unit * units)}",
            stacklevel=3,
        )


def _describe_round(
    done: int, rounds: int, kept: FilterMasks, loss: float, held_out: float, seconds_left: float
) -> EnsembleProgress:
    return EnsembleProgress(
        task="ensembles",
        done=done,
        total=rounds,
        text=f"{sum(kept.kept.values())} filters kept, loss {loss:.4g}",
        kept=kept.kept,
        loss=loss,
        held_out=held_out,
        seconds_left=seconds_left,
    )


def _noise_reasons(
    scores: EnsembleScores,
    ensemble: LinearFilterEnsemble,
    masks: Mapping[str, Tensor],
    split: EvaluationSplit | None,
) -> Iterator[str]:
    """Say why scores are near noise."""
    units = sum(int(mask.sum()) for mask in masks.values())
    if split is not None and scores.median_loss > split.guessing_loss:
        yield (
            "masked networks of an ensemble must be better than guessing, with loss "
            f"{split.guessing_loss:.3g}, to rank filters; with keep={ensemble.share(units):.3g} "
            f"the median loss is {scores.median_loss:.3g}"
        )
    if scores.held_out <= 0:
        yield (
            "masked networks of an ensemble must have losses that a sum over filters predicts, "
            f"with a held-out R2 above 0, to rank filters; got {scores.held_out:.2f}"
        )


def _filters(
    model: nn.Module, groups: tuple[ChannelGroup, ...], masks: Mapping[str, Tensor]
) -> FilterMasks:
    device = next(model.parameters()).device
    return FilterMasks({name: mask.to(device) for name, mask in masks.items()}, groups)


def _masked(
    model: nn.Module,
    groups: tuple[ChannelGroup, ...],
    masks: Mapping[str, Tensor],
    split: EvaluationSplit,
) -> FilterLosses:
    """Evaluate the network with removed filters zeroed, so that these need no gates."""
    pruned = copy.deepcopy(model)
    _filters(model, groups, masks).apply_(pruned)
    evaluate = GateEvaluator(pruned, groups, split)

    def losses(asked: Mapping[str, Tensor]) -> Tensor:
        return evaluate({name: gates | ~masks[name].cpu() for name, gates in asked.items()})

    return losses


def _all(losses: FilterLosses, masks: Mapping[str, Tensor]) -> FilterLosses:
    """Complete masks by those of the groups that are not named."""

    def complete(asked: Mapping[str, Tensor]) -> Tensor:
        count = len(next(iter(asked.values())))
        return losses({name: asked.get(name, masks[name].expand(count, -1)) for name in masks})

    return complete


def _per_cost(
    scores: Mapping[str, Tensor], masks: Mapping[str, Tensor], cost: KeptCost | None
) -> Mapping[str, Tensor]:
    if cost is None:
        return scores
    kept = {name: int(mask.sum()) for name, mask in masks.items()}
    return divide_by_costs(scores, unit_costs(kept, cost))


def _select(
    groups: tuple[ChannelGroup, ...],
    scores: Mapping[str, Tensor],
    budget: FilterBudget,
    per_layer: bool,
) -> Mapping[str, Tensor]:
    if not per_layer:
        return select_filters(groups, scores, budget)
    return {name: select_filters(groups, {name: scores[name]}, budget)[name] for name in scores}


def _problems(
    sizes: Mapping[str, int],
    rounds: int,
    ensemble: LinearFilterEnsemble,
    budget: FilterBudget,
    state: Mapping[str, Any] | None,
) -> Iterator[str]:
    if not sizes:
        yield "pruning of filters needs at least one group that is removable, got none"
    if rounds < 1:
        yield f"rounds must be at least 1, got {rounds}"
    if ensemble.per_layer and budget.cost is not None:
        yield "an ensemble per layer needs a budget of filters, got one with a cost of the network"
    if state is not None:
        known = {name: len(mask) for name, mask in state["masks"].items()}
        if known != sizes:
            yield f"a state must be of the groups {sizes}, got one of {known}"
