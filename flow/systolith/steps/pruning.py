"""The pruning steps of an experiment, from its sections to a pruned model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from systolith.config import (
    DPPFiltersSection,
    DPPSection,
    FilterSection,
    GDPSection,
    LFESection,
    MagnitudeSection,
    ParticlesSection,
    PruneSection,
    RuleSection,
    SPPSection,
    SRSTESection,
    TaylorSection,
    WeightSection,
)
from systolith.data import Dataset, HeldOut, hold_out
from systolith.network import Granularity, KOutOfN, Pattern
from systolith.prune import (
    DPP,
    GDP,
    SPP,
    SRSTE,
    Budget,
    ChannelGroup,
    Cubic,
    DPPFilters,
    EvaluationSplit,
    FilterMasks,
    FilterSparsifier,
    FrozenMasks,
    KeptCost,
    LayerPlan,
    LinearFilterEnsemble,
    LogitInit,
    Loss,
    MaskSet,
    OneShot,
    ParticleFilter,
    PruneError,
    Schedule,
    ScorePruner,
    TaylorGates,
    WeightSparsifier,
    check_budget,
    find_channel_groups,
    macs_after,
    match_patterns,
    parameters_after,
    prunable_layers,
    prune_by_ensembles,
    prune_by_particles,
    remove_filters,
)
from systolith.quant import QuantConfig, QuantizedModel, prepare, quantized_patterns
from systolith.steps.budgets import patterns_for_budget
from systolith.steps.errors import UsageError
from systolith.steps.odds import read_history, recording
from systolith.steps.pruned import Pruned
from systolith.train import Recipe, Report, fit, train_quantized

__all__ = ["PruneContext", "check_steps", "clear_checkpoints", "prune_model", "quantize_pruned"]

CALIBRATION_IMAGES = 512
HISTORY = "odds.json"
FEWEST_UPDATES = 10
"""Times that masks of filters are chosen anew in the shortest training."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneContext:
    """What all steps share.

    Attributes
    ----------
    data : Dataset
        To train on; images to choose masks by are held out of its training part.
    recipe : Recipe
        Of training.
    multipliers : int
        Of the hardware, for budgets of cycles.
    report : callable
        Hears of progress.
    checkpoint : Path
        Files whose names begin like this hold unfinished work.
    """

    data: Dataset
    recipe: Recipe
    multipliers: int
    report: Report
    checkpoint: Path

    def part(self, name: str) -> Path:
        """Name the checkpoint of a part."""
        return self.checkpoint.with_name(f"{self.checkpoint.name}-{name}")


def clear_checkpoints(checkpoint: Path) -> None:
    """Remove all files whose names begin like this."""
    for path in checkpoint.parent.glob(f"{checkpoint.name}*"):
        path.unlink()


def check_steps(model: nn.Module, data: Dataset, steps: Sequence[PruneSection]) -> None:
    """Find out before any training whether steps fit the model.

    What a step finds after filters have left is checked when it is its turn.

    Raises
    ------
    PruneError
        With every layer, pattern and budget that does not fit.
    UsageError
        If more images are to be held out than there are.
    """
    for step in steps:
        held = getattr(step, "images", 0)
        if held >= len(data.train_images):
            raise UsageError(
                f"prune: {step.method} holds out {held} training images, but data set "
                f"'{data.name}' has {len(data.train_images)}"
            )
    match steps[:1]:
        case [FilterSection() as first]:
            budget, groups = _filter_budget(model, data, first)
            check_budget(groups, budget)
        case [WeightSection() as first]:
            if first.rules:
                match_patterns(model, _rules(first.rules))
        case [ParticlesSection() as first]:
            _plan(model, first)


def prune_model(model: nn.Module, steps: Sequence[PruneSection], context: PruneContext) -> Pruned:
    """Carry the steps out, one after the other.

    Parameters
    ----------
    model : nn.Module
        Trained; changed.
    steps : sequence of PruneSection
        Those of filters first.
    context : PruneContext

    Raises
    ------
    PruneError
        If a step does not fit what the ones before have left.
    """
    filters: list[FilterMasks] = []
    masks = MaskSet({}, {})
    for number, step in enumerate(steps):
        name = f"{number}-{step.method}"
        match step:
            case FilterSection():
                filters.append(_choose_filters(model, step, context, name))
                model = remove_filters(model, filters[-1], context.data.train_images[:2])
                if isinstance(step, LFESection):
                    _fit(model, context, step, step.epochs, name, None)
            case ParticlesSection():
                masks = _search_masks(model, step, context, name)
            case WeightSection():
                if getattr(step, "joint", False):
                    continue
                patterns = _patterns(model, step, context.multipliers, context.data)
                sparsifier = _weight_sparsifier(model, patterns, step, context.recipe)
                _fit(model, context, step, step.epochs, name, sparsifier)
                masks = sparsifier.masks(model)
                masks.apply_(model)
        if step.finetune_epochs:
            frozen = FrozenMasks(masks) if masks else None
            _fit(model, context, step, step.finetune_epochs, f"{name}-finetune", frozen)
            masks.apply_(model)
    checked = MaskSet(dict(masks), masks.patterns)
    return Pruned(
        model=model.eval(),
        filters=tuple(filters),
        masks=checked,
        history=read_history(context.part(HISTORY)),
    )


def quantize_pruned(
    pruned: Pruned,
    data: Dataset,
    steps: Sequence[PruneSection],
    bits: QuantConfig,
    recipe: Recipe,
    *,
    multipliers: int,
    report: Report,
    checkpoint: Path,
) -> QuantizedModel:
    """Train with quantized weights and activations; a joint step prunes meanwhile."""
    joint = next((step for step in steps if getattr(step, "joint", False)), None)
    if joint is None:
        return train_quantized(pruned.model, data, pruned.masks, bits, recipe, report, checkpoint)
    assert isinstance(joint, SRSTESection | DPPSection)
    quantized = prepare(pruned.model, data.train_images[:CALIBRATION_IMAGES], bits)
    patterns = _patterns(pruned.model, joint, multipliers, data)
    patterns = quantized_patterns(quantized, patterns)
    sparsifier = _weight_sparsifier(quantized, patterns, joint, recipe)
    context = PruneContext(
        data=data,
        recipe=replace(recipe, learning_rate=joint.learning_rate or recipe.learning_rate / 3),
        multipliers=multipliers,
        report=report,
        checkpoint=checkpoint,
    )
    _fit(quantized, context, joint, joint.epochs, f"quantize-{joint.method}", sparsifier, 0.0)
    masks = sparsifier.masks(quantized)
    quantized.freeze_masks_(MaskSet(dict(masks), masks.patterns))
    _fit(quantized, context, joint, recipe.quantize_epochs, "quantize", FrozenMasks(masks), 0.0)
    return quantized


def _fit(
    model: nn.Module,
    context: PruneContext,
    step: Any,
    epochs: int | None,
    name: str,
    sparsifier: WeightSparsifier | FilterSparsifier | None,
    weight_decay: float | None = None,
) -> None:
    recipe = context.recipe
    report = recording(sparsifier, context.report, context.part(HISTORY))
    fit(
        model,
        context.data,
        epochs=recipe.prune_epochs if epochs is None else epochs,
        learning_rate=step.learning_rate or recipe.learning_rate / 2,
        batch_size=recipe.batch_size,
        weight_decay=recipe.weight_decay if weight_decay is None else weight_decay,
        algorithm=recipe.algorithm,
        precision=recipe.precision,
        augment=recipe.augment,
        sparsifier=sparsifier,
        seed=recipe.seed + 1,
        phase=name,
        report=report,
        checkpoint=context.part(name),
    )


def _rules(rules: Sequence[RuleSection]) -> list[tuple[str, Pattern]]:
    return [(rule.layers, rule.pattern) for rule in rules]


def _patterns(
    model: nn.Module, step: WeightSection, multipliers: int, data: Dataset
) -> dict[str, Pattern]:
    if step.budget is None:
        return match_patterns(model, _rules(step.rules))
    candidates = [
        Pattern(select=KOutOfN(k, n, shared_by=step.shared_by)) for k, n in step.candidates
    ]
    return patterns_for_budget(
        model, data.train_images[:1], candidates, step.budget, multipliers=multipliers
    )


def _weight_sparsifier(
    model: nn.Module, patterns: Mapping[str, Pattern], step: WeightSection, recipe: Recipe
) -> WeightSparsifier:
    match step:
        case MagnitudeSection():
            pruner = ScorePruner(patterns=patterns, schedule=SCHEDULES[step.schedule])
            if step.schedule == "one-shot":
                return FrozenMasks(pruner.masks(model))
            return SRSTE(pruner, decay=0.0)
        case SRSTESection():
            pruner = ScorePruner(patterns=patterns, schedule=SCHEDULES[step.schedule])
            return SRSTE(pruner, decay=step.decay)
        case DPPSection():
            return DPP(model, patterns, init=LogitInit(step.init), seed=recipe.seed)
        case SPPSection():
            return SPP(model, patterns)
        case _:
            raise AssertionError(step)


SCHEDULES: Mapping[str, Schedule] = {"one-shot": OneShot(), "cubic": Cubic()}


def _search_masks(
    model: nn.Module, step: ParticlesSection, context: PruneContext, name: str
) -> MaskSet:
    """Search masks by forward passes, then train with them frozen."""
    path = context.part(f"{name}-search")
    masks = prune_by_particles(
        model,
        _split(hold_out(context.data, step.images, context.recipe.seed), Loss.MISCLASSIFICATION),
        _plan(model, step),
        search=ParticleFilter(particles=step.particles, generations=step.generations),
        seed=context.recipe.seed,
        save=lambda state: _save(state, path),
        state=torch.load(path, weights_only=True) if path.exists() else None,
    )
    _fit(model, context, step, step.epochs, name, FrozenMasks(masks))
    masks.apply_(model)
    return masks


def _plan(model: nn.Module, step: ParticlesSection) -> dict[str, LayerPlan]:
    """Plan for the convolutions that the step names, whose input is no image."""
    names = match_patterns(model, [(step.layers, Pattern())])
    plan: dict[str, LayerPlan] = {}
    for name, layer in prunable_layers(model).items():
        weight = layer.weight
        if name not in names or weight.ndim != 4 or weight.shape[1] <= 3:
            continue
        channels, taps = weight.shape[1], weight.shape[2] * weight.shape[3]
        select = None
        if step.kernels is not None:
            kept = max(1, round(step.kernels * channels))
            select = KOutOfN(kept, channels, Granularity.KERNEL) if kept < channels else None
        stride = min(step.stride or 1, taps)
        if select is not None or stride > 1:
            plan[name] = LayerPlan(select=select, stride=stride)
    if not plan:
        raise PruneError([f"particles need convolutions to prune, but '{step.layers}' names none"])
    return plan


def _choose_filters(
    model: nn.Module, step: FilterSection, context: PruneContext, name: str
) -> FilterMasks:
    budget, groups = _filter_budget(model, context.data, step)
    recipe = context.recipe
    epochs = recipe.prune_epochs if step.epochs is None else step.epochs
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
            sparsifier = DPPFilters(
                groups, keep=budget.keep, multiple_of=step.multiple_of, seed=recipe.seed
            )
        case LFESection():
            return _ensembles(model, step, budget, context, name)
        case _:
            raise AssertionError(step)
    _fit(model, context, step, epochs, name, sparsifier)
    return sparsifier.filters(model)


def _ensembles(
    model: nn.Module, step: LFESection, budget: Budget, context: PruneContext, name: str
) -> FilterMasks:
    groups = find_channel_groups(model, context.data.train_images[:2])
    units = sum(group.size for group in groups if group.removable)
    path = context.part(f"{name}-search")
    return prune_by_ensembles(
        model,
        _split(hold_out(context.data, step.images, context.recipe.seed), Loss.CROSS_ENTROPY),
        budget,
        groups=groups,
        rounds=step.rounds,
        ensemble=LinearFilterEnsemble(keep=0.9, per_unit=max(step.members / units, 1.0)),
        seed=context.recipe.seed,
        save=lambda state: _save(state, path),
        state=torch.load(path, weights_only=True) if path.exists() else None,
    )


def _filter_budget(
    model: nn.Module, data: Dataset, step: FilterSection
) -> tuple[Budget, tuple[ChannelGroup, ...]]:
    images = data.train_images[:2]
    groups = find_channel_groups(model, images)
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
    return Budget(keep=keep, cost=cost, floor=floor, multiple_of=step.multiple_of), groups


def _split(held: HeldOut, loss: Loss) -> EvaluationSplit:
    return EvaluationSplit(images=held.images, labels=held.labels, loss=loss)


def _save(state: Mapping[str, Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.part")
    torch.save(dict(state), temporary)
    temporary.replace(path)
