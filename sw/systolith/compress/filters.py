"""Steps that remove filters, from their sections to masks."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from systolith.config import (
    DJPQSection,
    DPPFiltersSection,
    FilterSection,
    GDPSection,
    LFESection,
    RemovalStep,
    TaylorSection,
)
from systolith.data import Dataset
from systolith.prune import (
    GDP,
    Budget,
    ChannelGroup,
    DPPFilters,
    FilterMasks,
    FilterSparsifier,
    KeptCost,
    LinearFilterEnsemble,
    Loss,
    PruneError,
    TaylorGates,
    check_budget,
    find_channel_groups,
    macs_after,
    parameters_after,
    prune_by_ensembles,
    taylor_scores,
)
from systolith.quant import DJPQ, LayerBits
from systolith.stages.errors import UsageError
from systolith.steps.pruning.context import CALIBRATION_IMAGES, PruneContext

__all__ = ["check_removal", "choose_filters", "learn_filters_and_bits"]

FEWEST_UPDATES = 10
"""Times that masks are chosen anew in the shortest training."""
SCORED_BATCHES = 20


def check_removal(model: nn.Module, data: Dataset, step: RemovalStep) -> None:
    """Find out before any training whether a step fits the model.

    Raises
    ------
    PruneError
        If nothing can be removed, or a budget cannot be met.
    """
    groups = find_channel_groups(model, data.train_images[:2])
    if isinstance(step, FilterSection):
        check_budget(groups, _budget(model, groups, data, step))
    elif not any(group.removable for group in groups):
        raise PruneError(["a network needs filters that can be removed, got none"])


def choose_filters(
    model: nn.Module, step: FilterSection, context: PruneContext, name: str
) -> FilterMasks:
    """Train or search until it is known which filters to keep; the model is trained meanwhile."""
    groups = find_channel_groups(model, context.data.train_images[:2])
    budget = _budget(model, groups, context.data, step)
    recipe, epochs = context.recipe, context.epochs(step)
    steps = max(epochs * -(-len(context.data.train_images) // recipe.batch_size), 1)
    sparsifier: FilterSparsifier
    match step:
        case GDPSection():
            interval = min(100, max(steps // FEWEST_UPDATES, 1))
            sparsifier = GDP(
                groups, budget, interval=interval, ramp_until=0.5, per_cost=step.per_mac
            )
        case TaylorSection():
            batches = min(30, max(steps // FEWEST_UPDATES // 2, 1))
            rounds = max(steps // batches // 2, 1)
            units = sum(group.size for group in groups if group.removable)
            sparsifier = TaylorGates(groups, budget, batches=batches, per_round=-(-units // rounds))
        case DPPFiltersSection():
            scores = None
            if step.init == "taylor":
                scores = taylor_scores(model, groups, _batches(context))
            sparsifier = DPPFilters(
                groups,
                keep=budget.keep,
                multiple_of=step.multiple_of,
                scores=scores,
                seed=recipe.seed,
            )
        case LFESection():
            return _search(model, step, budget, groups, context, name)
        case _:
            raise AssertionError(step)
    context.fit(model, step, epochs, name, sparsifier)
    return sparsifier.filters(model)


def learn_filters_and_bits(
    model: nn.Module, step: DJPQSection, context: PruneContext, name: str
) -> tuple[FilterMasks, dict[str, LayerBits]]:
    """Train gates and widths with the weights."""
    images = context.data.train_images
    djpq = DJPQ(
        model,
        find_channel_groups(model, images[:2]),
        images[:CALIBRATION_IMAGES],
        information=step.information,
        bit_operations=step.bit_operations,
        power_of_two=step.power_of_two,
        seed=context.recipe.seed,
    )
    context.fit(model, step, context.epochs(step), name, djpq)
    return djpq.filters(model), djpq.bits()


def _search(
    model: nn.Module,
    step: LFESection,
    budget: Budget,
    groups: tuple[ChannelGroup, ...],
    context: PruneContext,
    name: str,
) -> FilterMasks:
    """Score by forward passes, then train without what is to leave."""
    units = sum(group.size for group in groups if group.removable)
    return prune_by_ensembles(
        model,
        context.split(step.images, Loss.CROSS_ENTROPY),
        budget,
        groups=groups,
        rounds=step.rounds,
        ensemble=LinearFilterEnsemble(keep=0.9, per_unit=max(step.members / units, 1.0)),
        seed=context.recipe.seed,
        save=lambda state: context.save_search(name, state),
        state=context.load_search(name),
    )


def _budget(
    model: nn.Module, groups: tuple[ChannelGroup, ...], data: Dataset, step: FilterSection
) -> Budget:
    images = data.train_images[:2]
    smallest = min((group.size for group in groups if group.removable), default=1)
    cost: KeptCost | None = None
    keep = step.keep or 1.0
    if step.budget is not None and step.budget.macs is not None:
        cost, keep = macs_after(model, groups, images), step.budget.macs
    elif step.budget is not None and step.budget.parameters is not None:
        cost, keep = parameters_after(model, groups, images), step.budget.parameters
    elif getattr(step, "per_mac", False):
        raise UsageError("prune: per_mac needs a budget of macs, got keep")
    floor = max(1, round(step.least * smallest))
    return Budget(keep=keep, cost=cost, floor=floor, multiple_of=step.multiple_of)


def _batches(context: PruneContext) -> Iterator[tuple[Tensor, Tensor]]:
    """Some training images, drawn by the recipe's seed."""
    data, size = context.data, context.recipe.batch_size
    generator = torch.Generator().manual_seed(context.recipe.seed)
    order = torch.randperm(len(data.train_images), generator=generator)
    for chosen in torch.split(order[: SCORED_BATCHES * size], size):
        yield data.train_images[chosen], data.train_labels[chosen]
