"""The path from a float model to a pruned, quantized one."""

import re
import warnings
from collections.abc import Sequence
from typing import TypeGuard

import torch
from torch import nn

from systolith.compress.check import check_model
from systolith.compress.check.arguments import check_arguments
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
from systolith.train import TrainingError, train_float

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
    TrainingError, PruneError, UnsupportedModelError, NetworkError, UsageError
        If a method or the model does not fit: before any training, as far as :func:`check_model`
        can know.
    """
    check_arguments(
        model=model, trainer=trainer, prunings=prunings, bits=bits, post_training=post_training
    )
    images = trainer.data.calibration_images
    check = check_model(model, images, prunings, bits, trainer=trainer)
    check.raise_if_any()
    for warning in check.warnings:
        warnings.warn(str(warning), stacklevel=2)
    with warnings.catch_warnings():
        for warning in check.warnings:  # they have been given
            warnings.filterwarnings("ignore", f"{re.escape(str(warning))}$")
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
    TrainingError
        If the recipe, the teacher or the data does not fit the model; all problems are listed.
    PruneError
        If filters would leave after weights are masked, or two methods would mask weights. If a
        method does not fit what earlier ones have left.
    """
    check_arguments(model=model, trainer=trainer, prunings=prunings)
    PruneError.raise_if_any(sequence_problems(prunings))
    before = [pruning for pruning in prunings if not _is_joint(pruning)]
    probe = trainer.probe(model, before, trains_float=False, quantizes=False)
    TrainingError.raise_if_any(probe.problems)
    trainer = trainer.taught_by(model)
    home = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    with trainer.recipe.placing(model):
        pruned = _apply_methods(model, trainer, prunings)
    return pruned.move(home)


def _apply_methods(model: nn.Module, trainer: Trainer, prunings: Sequence[Pruning]) -> PrunedModel:
    """Apply one method after the other, on the model's device."""
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
    TrainingError
        If the recipe, the teacher or the data does not fit the model; all problems are listed.
    UnsupportedModelError
        If the model has layers without an integer form; all of them are listed.
    """
    check_arguments(
        pruned=pruned, trainer=trainer, bits=bits, prunings=prunings, post_training=post_training
    )
    joint = next((pruning for pruning in prunings if _is_joint(pruning)), None)
    probe = trainer.probe(pruned.model, [joint] if joint else [], trains_float=False)
    TrainingError.raise_if_any(probe.problems)
    trainer = trainer.taught_by(pruned.model)
    recipe, images = trainer.recipe, trainer.data.calibration_images
    config, rate = pruned.config(bits or QuantConfig()), recipe.quantize_learning_rate
    if joint is None:
        quantized = prepare(pruned.model, images, config, pruned.masks)
        if post_training is None:
            post_training = NO_POST_TRAINING if recipe.quantize_epochs else PostTraining()
        reconstruct_(quantized, images, post_training)
    else:
        quantized = prepare(pruned.model, images, config)
    with recipe.placing(quantized):
        frozen, seed = None, recipe.seed + 2
        if joint is not None:
            rate, seed = joint.learning_rate or rate, recipe.seed + 1
            frozen = FrozenMasks(_prune_quantized(quantized, pruned.model, trainer, joint, rate))
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


def _prune_quantized(
    quantized: QuantizedModel, model: nn.Module, trainer: Trainer, joint: JointPruning, rate: float
) -> MaskSet:
    """Prune a quantized model while it trains, and freeze its masks."""
    sparsifier = make_sparsifier(model, trainer, joint, quantized)
    phase = f"quantize-{joint.method}"
    trainer.fit(quantized, phase, sparsifier, joint, learning_rate=rate, weight_decay=0.0)
    masks = sparsifier.masks(quantized)
    quantized.freeze_masks_(MaskSet(dict(masks), masks.patterns))
    return masks


def _is_joint(pruning: Pruning) -> TypeGuard[JointPruning]:
    return isinstance(pruning, JointPruning) and pruning.joint
