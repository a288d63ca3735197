"""The usual way from a fresh model to a pruned, quantized one: three phases, each resumable.

The state between phases is the model's ``state_dict`` and, from pruning on, a :class:`MaskSet`. A
quantized model is made again by :func:`systolith.quant.prepare` with the same arguments, and takes
its ``state_dict``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from systolith.data import Augment, Dataset
from systolith.network import Pattern
from systolith.prune import SRSTE, MaskSet, ScorePruner, WeightSparsifier, check_patterns
from systolith.quant import QuantConfig, QuantizedModel, prepare
from systolith.train.fit import Algorithm, Precision, fit
from systolith.train.progress import Report

__all__ = [
    "Recipe",
    "train_float",
    "train_pruned",
    "train_pruned_quantized",
    "train_quantized",
]

CALIBRATION_IMAGES = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How long each phase takes, and how.

    Parameters
    ----------
    float_epochs, prune_epochs, quantize_epochs : int
        0 skips training in that phase; masks and steps are still chosen.
    learning_rate : float
        Of the float phase; pruning starts with half of it, quantization with a sixth.
    batch_size, weight_decay, algorithm, precision
        See :func:`fit`. Quantized training has no weight decay.
    augment : Augment, optional
        Applied to each batch of all phases.
    seed : int
        Of all phases.
    """

    float_epochs: int = 30
    prune_epochs: int = 20
    quantize_epochs: int = 10
    learning_rate: float = 3e-3
    batch_size: int = 64
    weight_decay: float = 1e-3
    algorithm: Algorithm = Algorithm.ADAMW
    precision: Precision = Precision.FLOAT32
    augment: Augment | None = None
    seed: int = 0


def train_float(
    model: nn.Module,
    data: Dataset,
    recipe: Recipe | None = None,
    report: Report | None = None,
    checkpoint: Path | None = None,
) -> None:
    """Train dense float weights, in place, resuming from the checkpoint if it is there."""
    recipe = recipe or Recipe()
    fit(
        model,
        data,
        epochs=recipe.float_epochs,
        learning_rate=recipe.learning_rate,
        seed=recipe.seed,
        phase="float",
        report=report,
        checkpoint=checkpoint,
        weight_decay=recipe.weight_decay,
        **_common(recipe),
    )


def train_pruned(
    model: nn.Module,
    data: Dataset,
    patterns: Mapping[str, Pattern],
    recipe: Recipe | None = None,
    report: Report | None = None,
    sparsifier: WeightSparsifier | None = None,
    checkpoint: Path | None = None,
) -> MaskSet:
    """Train with masks, in place, and leave the pruned weights at zero.

    Parameters
    ----------
    model : nn.Module
        Trained or fresh.
    data : Dataset
    patterns : mapping of str to Pattern
        By layer name; checked for all layers before any work.
    recipe : Recipe, optional
    report : callable, optional
    sparsifier : WeightSparsifier, optional
        Default: SR-STE on magnitude, with the final pattern from the start.
    checkpoint : Path, optional
        Resumed from if it is there.

    Returns
    -------
    MaskSet
        Of the layers in `patterns`, each mask exact.

    Raises
    ------
    PruneError
        If a pattern does not fit its layer; all of them are listed.
    """
    recipe = recipe or Recipe()
    check_patterns(model, patterns)
    sparsifier = sparsifier or SRSTE(ScorePruner(patterns=patterns))
    fit(
        model,
        data,
        epochs=recipe.prune_epochs,
        learning_rate=recipe.learning_rate / 2,
        sparsifier=sparsifier,
        seed=recipe.seed + 1,
        phase="prune",
        report=report,
        checkpoint=checkpoint,
        weight_decay=recipe.weight_decay,
        **_common(recipe),
    )
    masks = sparsifier.masks(model)
    masks.apply_(model)
    return masks


def train_quantized(
    model: nn.Module,
    data: Dataset,
    masks: MaskSet | None = None,
    config: QuantConfig | None = None,
    recipe: Recipe | None = None,
    report: Report | None = None,
    checkpoint: Path | None = None,
) -> QuantizedModel:
    """Fold batch norms, quantize, and train with masks frozen; the float model is left as it is.

    Raises
    ------
    UnsupportedModelError
        If the model has layers without an integer form; all of them are listed.
    """
    recipe = recipe or Recipe()
    quantized = prepare(model, data.train_images[:CALIBRATION_IMAGES], config, masks)
    fit(
        quantized,
        data,
        epochs=recipe.quantize_epochs,
        learning_rate=recipe.learning_rate / 6,
        weight_decay=0.0,
        seed=recipe.seed + 2,
        phase="quantize",
        report=report,
        checkpoint=checkpoint,
        **_common(recipe),
    )
    return quantized


def train_pruned_quantized(
    model: nn.Module,
    data: Dataset,
    patterns: Mapping[str, Pattern],
    config: QuantConfig | None = None,
    recipe: Recipe | None = None,
    report: Report | None = None,
) -> QuantizedModel:
    """All three phases: float, pruned, quantized; `model` ends as the pruned float one."""
    check_patterns(model, patterns)
    train_float(model, data, recipe, report)
    masks = train_pruned(model, data, patterns, recipe, report)
    return train_quantized(model, data, masks, config, recipe, report)


def _common(recipe: Recipe) -> dict[str, Any]:
    return {
        "batch_size": recipe.batch_size,
        "algorithm": recipe.algorithm,
        "precision": recipe.precision,
        "augment": recipe.augment,
    }
