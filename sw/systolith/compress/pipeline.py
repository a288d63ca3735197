"""The path from a float model to a pruned, quantized one."""

import warnings
from collections.abc import Sequence
from typing import TypeGuard

from torch import nn

from systolith.compress.check import check_model
from systolith.compress.check.steps import sequence_problems
from systolith.compress.ensembles import split_epochs
from systolith.compress.filters import (
    choose_filters,
    learn_filters_and_bits,
    remove_chosen_filters,
)
from systolith.compress.methods import (
    DJPQPruning,
    EnsemblePruning,
    FilterPruning,
    FilterRemoval,
    FilterScorePruning,
    JointPruning,
    ParticlePruning,
    Pruning,
    WeightPruning,
)
from systolith.compress.pruned_model import PrunedModel
from systolith.compress.recalibration import (
    measure_before_pruning,
    recalibrate_,
    recalibrate_trained_,
)
from systolith.compress.trainer import Trainer
from systolith.compress.weights import make_sparsifier, search_masks, train_masks
from systolith.prune import FilterMasks, FrozenMasks, MaskSet, PruneError
from systolith.quant import (
    LayerBits,
    PostTraining,
    QuantConfig,
    QuantizedModel,
    WeightRounding,
    prepare,
    reconstruct_,
)
from systolith.train import train_float

__all__ = ["compress_model", "prune_model", "quantize_model"]

NO_POST_TRAINING = PostTraining(rounding=WeightRounding.NEAREST, bias_correction=False)


def compress_model(
    model: nn.Module,
    trainer: Trainer,
    prunings: Sequence[Pruning] = (),
    bits: QuantConfig | None = None,
    post_training: PostTraining | None = None,
) -> QuantizedModel:
    """Train a float model, prune it, and train it quantized.

    Parameters
    ----------
    model : nn.Module
        Changed: unless filters are removed, it ends as the pruned float model.
    trainer : Trainer
    prunings : sequence of Pruning
        Methods that remove filters come first.
    bits : QuantConfig, optional
        Bit widths; by default 8 bits everywhere.
    post_training : PostTraining, optional
        See :func:`quantize_model`.

    Returns
    -------
    QuantizedModel
        For :func:`systolith.frontend.lower`.

    Raises
    ------
    PruneError, UnsupportedModelError, NetworkError, UsageError
        If a method or the model does not fit: before any training, as far as :func:`check_model`
        can know.
    """
    images = trainer.data.calibration_images
    check = check_model(model, images, prunings, bits, trainer=trainer)
    check.raise_if_any()
    for warning in check.warnings:
        warnings.warn(str(warning), stacklevel=2)
    train_float(
        model, trainer.data, trainer.recipe, trainer.progress, trainer.checkpoint_path("float")
    )
    trainer = trainer.taught_by(model)
    pruned = prune_model(model, trainer, prunings)
    return quantize_model(pruned, trainer, bits, prunings=prunings, post_training=post_training)


def prune_model(model: nn.Module, trainer: Trainer, prunings: Sequence[Pruning]) -> PrunedModel:
    """Prune a trained model with one method after the other.

    Parameters
    ----------
    model : nn.Module
        Trained; changed.
    trainer : Trainer
        A dense teacher is the given model.
    prunings : sequence of Pruning
        Methods that remove filters come first. Joint methods are left to :func:`quantize_model`.

    Raises
    ------
    PruneError
        If filters would leave after weights are masked, or two methods would mask weights. If a
        method does not fit what earlier ones have left.
    """
    PruneError.raise_if_any(sequence_problems(prunings))
    trainer = trainer.taught_by(model)
    filters: list[FilterMasks] = []
    bits: dict[str, LayerBits] = {}
    masks = MaskSet({}, {})
    for number, pruning in enumerate(prunings):
        phase = f"{number}-{pruning.method}"
        statistics = measure_before_pruning(model, trainer, pruning)
        match pruning:
            case DJPQPruning():
                kept, bits = learn_filters_and_bits(model, trainer, pruning, phase)
                filters.append(kept)
            case FilterPruning():
                filters.append(choose_filters(model, trainer, pruning, phase))
            case ParticlePruning():
                masks = search_masks(model, trainer, pruning, phase)
            case WeightPruning() if not _is_joint(pruning):
                masks = train_masks(model, trainer, pruning, phase)
        if isinstance(pruning, FilterRemoval):
            model = remove_chosen_filters(model, trainer, pruning, filters[-1])
        if isinstance(pruning, FilterScorePruning):
            trainer.fit(model, phase, None, pruning)
        if isinstance(pruning, EnsemblePruning):
            *_, epochs = split_epochs(trainer.prune_epochs(pruning), pruning.rounds)
            trainer.fit(model, phase, None, pruning, epochs=epochs)
        if (epochs := pruning.finetune_epochs) and not _is_joint(pruning):
            frozen = FrozenMasks(masks) if masks else None
            trainer.fit(model, f"{phase}-finetune", frozen, pruning, epochs=epochs)
            masks.apply_(model)
        if statistics:
            removed = filters[-1] if isinstance(pruning, FilterRemoval) else None
            recalibrate_(model, trainer, statistics, removed)
        else:
            recalibrate_trained_(model, trainer, pruning)
    return PrunedModel(
        model=model.eval(),
        filters=tuple(filters),
        masks=MaskSet(dict(masks), masks.patterns),
        bits=bits,
        history=trainer.read_history(),
    )


def quantize_model(
    pruned: PrunedModel,
    trainer: Trainer,
    bits: QuantConfig | None = None,
    *,
    prunings: Sequence[Pruning] = (),
    post_training: PostTraining | None = None,
) -> QuantizedModel:
    """Fold batch norms, quantize, and train with masks frozen.

    Without epochs of quantized training, nothing else corrects rounding errors, so weights and
    biases are reconstructed layer by layer: see :func:`systolith.quant.reconstruct_`.

    Parameters
    ----------
    pruned : PrunedModel
        Not changed.
    trainer : Trainer
        A dense teacher is the pruned model.
    bits : QuantConfig, optional
        Bit widths; by default 8 bits everywhere. Widths by layer override widths that pruning
        learned, which override the width of the other layers.
    prunings : sequence of Pruning
        A joint method among them prunes during this training.
    post_training : PostTraining, optional
        How weights and biases are rounded before this training. By default everything if the recipe
        has no epochs of it, else nothing. With a joint method always nothing, because its masks are
        not known yet.

    Raises
    ------
    UnsupportedModelError
        If the model has layers without an integer form; all of them are listed.
    """
    trainer = trainer.taught_by(pruned.model)
    recipe, images = trainer.recipe, trainer.data.calibration_images
    config, rate = pruned.config(bits or QuantConfig()), recipe.quantize_learning_rate
    joint = next((pruning for pruning in prunings if _is_joint(pruning)), None)
    if joint is None:
        quantized = prepare(pruned.model, images, config, pruned.masks)
        if post_training is None:
            post_training = NO_POST_TRAINING if recipe.quantize_epochs else PostTraining()
        reconstruct_(quantized, images, post_training)
        frozen, seed = None, recipe.seed + 2
    else:
        quantized = prepare(pruned.model, images, config)
        sparsifier = make_sparsifier(pruned.model, trainer, joint, quantized)
        rate, seed = joint.learning_rate or rate, recipe.seed + 1
        phase = f"quantize-{joint.method}"
        trainer.fit(quantized, phase, sparsifier, joint, learning_rate=rate, weight_decay=0.0)
        masks = sparsifier.masks(quantized)
        quantized.freeze_masks_(MaskSet(dict(masks), masks.patterns))
        frozen = FrozenMasks(masks)
    trainer.fit(
        quantized,
        "quantize",
        frozen,
        epochs=recipe.quantize_epochs,
        learning_rate=rate,
        weight_decay=0.0,
        seed=seed,
    )
    return quantized


def _is_joint(pruning: Pruning) -> TypeGuard[JointPruning]:
    return isinstance(pruning, JointPruning) and pruning.joint
