"""Statistics of batch norms, where no training follows a change of the weights."""

import torch
from torch import nn

from systolith.compress.methods import (
    ADMMPruning,
    DPFPruning,
    DPPPruning,
    JointPruning,
    MagnitudePruning,
    Pruning,
    SPPPruning,
    SRSTEPruning,
)
from systolith.compress.trainer import Trainer
from systolith.data import MixingAugment, augment_images
from systolith.prune import (
    BatchStatistics,
    FilterMasks,
    OneShot,
    measure_batch_norms,
    recalibrate_batch_norms_,
)

__all__ = ["measure_before_pruning", "recalibrate_", "recalibrate_trained_"]


def measure_before_pruning(model: nn.Module, trainer: Trainer, pruning: Pruning) -> BatchStatistics:
    """Measure batch norms before a method that trains nothing; empty for other methods."""
    if isinstance(pruning, JointPruning) and pruning.joint:
        return {}
    if trainer.prune_epochs(pruning) or pruning.finetune_epochs:
        return {}
    images = trainer.data.calibration_images
    return measure_batch_norms(model, images) if len(images) > 1 else {}


def recalibrate_trained_(model: nn.Module, trainer: Trainer, pruning: Pruning) -> None:
    """Replace statistics of batch norms if the last masks are not those that were trained with.

    Random masks, and masks that change until the end, leave statistics of other weights.
    """
    if not _moves_masks(pruning):
        return
    images = trainer.data.calibration_images
    if not trainer.prune_epochs(pruning) or pruning.finetune_epochs or len(images) < 2:
        return
    generator = torch.Generator().manual_seed(trainer.recipe.seed)
    data = trainer.data
    targets = data.train_targets[: len(images)]
    if isinstance(trainer.recipe.augment, MixingAugment):
        targets = data.target.as_real(targets, data.classes if data.target.is_classes else 0)
    seen = augment_images(images, trainer.recipe.augment, generator, targets)
    recalibrate_batch_norms_(model, seen)


def recalibrate_(
    model: nn.Module, trainer: Trainer, statistics: BatchStatistics, kept: FilterMasks | None
) -> None:
    """Let batch norms follow the change since `statistics`, also if filters have left."""
    masks = {} if kept is None else kept.channel_masks()
    before = {
        name: (mean[masks[name]], variance[masks[name]]) if name in masks else (mean, variance)
        for name, (mean, variance) in statistics.items()
    }
    recalibrate_batch_norms_(model, trainer.data.calibration_images, before)


def _moves_masks(pruning: Pruning) -> bool:
    """Whether masks change until the end of the training that precedes quantization."""
    match pruning:
        case JointPruning(joint=True) | MagnitudePruning(schedule=OneShot()):
            return False
        case MagnitudePruning() | SRSTEPruning() | DPPPruning() | DPFPruning():
            return True
        case ADMMPruning() | SPPPruning():
            return True
        case _:
            return False
