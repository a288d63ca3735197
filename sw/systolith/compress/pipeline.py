"""The pruning steps of an experiment, carried out one after the other."""

from collections.abc import Sequence
from dataclasses import replace

from torch import nn

from systolith.config import (
    DJPQSection,
    DPPSection,
    FilterSection,
    LFESection,
    ParticlesSection,
    PruneSection,
    RemovalStep,
    SRSTESection,
    WeightSection,
)
from systolith.data import Dataset
from systolith.prune import FilterMasks, FrozenMasks, MaskSet, remove_filters
from systolith.quant import LayerBits, QuantConfig, QuantizedModel, prepare
from systolith.stages.errors import UsageError
from systolith.steps.odds import read_history
from systolith.steps.pruned import Pruned
from systolith.steps.pruning.context import CALIBRATION_IMAGES, HISTORY, PruneContext
from systolith.steps.pruning.filters import (
    check_removal,
    choose_filters,
    learn_filters_and_bits,
)
from systolith.steps.pruning.weights import (
    check_masks,
    make_sparsifier,
    search_masks,
    train_masks,
)
from systolith.train import train_quantized

__all__ = ["check_steps", "prune_model", "quantize_pruned"]


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
        case [RemovalStep() as first]:
            check_removal(model, data, first)
        case [WeightSection() | ParticlesSection() as first]:
            check_masks(model, first)


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
    bits: dict[str, LayerBits] = {}
    masks = MaskSet({}, {})
    for number, step in enumerate(steps):
        name = f"{number}-{step.method}"
        match step:
            case DJPQSection():
                chosen, bits = learn_filters_and_bits(model, step, context, name)
                filters.append(chosen)
            case FilterSection():
                filters.append(choose_filters(model, step, context, name))
            case ParticlesSection():
                masks = search_masks(model, step, context, name)
            case WeightSection() if not _is_joint(step):
                masks = train_masks(model, step, context, name)
        if isinstance(step, RemovalStep):
            model = remove_filters(model, filters[-1], context.data.train_images[:2])
        if isinstance(step, LFESection):
            context.fit(model, step, context.epochs(step), name, None)
        if step.finetune_epochs and not _is_joint(step):
            frozen = FrozenMasks(masks) if masks else None
            context.fit(model, step, step.finetune_epochs, f"{name}-finetune", frozen)
            masks.apply_(model)
    return Pruned(
        model=model.eval(),
        filters=tuple(filters),
        masks=MaskSet(dict(masks), masks.patterns),
        bits=bits,
        history=read_history(context.part(HISTORY)),
    )


def quantize_pruned(
    pruned: Pruned, steps: Sequence[PruneSection], bits: QuantConfig, context: PruneContext
) -> QuantizedModel:
    """Train with quantized weights and activations; a joint step prunes meanwhile."""
    joint = next((step for step in steps if _is_joint(step)), None)
    config, data, recipe = pruned.config(bits), context.data, context.recipe
    if joint is None:
        return train_quantized(
            pruned.model, data, pruned.masks, config, recipe, context.report, context.checkpoint
        )
    assert isinstance(joint, SRSTESection | DPPSection)
    quantized = prepare(pruned.model, data.train_images[:CALIBRATION_IMAGES], config)
    sparsifier = make_sparsifier(pruned.model, joint, context, quantized)
    slower = replace(recipe, learning_rate=recipe.learning_rate / 3)
    context = replace(context, recipe=slower)
    epochs, name = context.epochs(joint), f"quantize-{joint.method}"
    context.fit(quantized, joint, epochs, name, sparsifier, weight_decay=0.0)
    masks = sparsifier.masks(quantized)
    quantized.freeze_masks_(MaskSet(dict(masks), masks.patterns))
    epochs = recipe.quantize_epochs
    context.fit(quantized, joint, epochs, "quantize", FrozenMasks(masks), weight_decay=0.0)
    return quantized


def _is_joint(step: PruneSection) -> bool:
    return bool(getattr(step, "joint", False))
