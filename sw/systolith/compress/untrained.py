"""What keeps a network accurate where no training follows a change of its weights."""

from copy import deepcopy

import torch
from torch import nn

from systolith.compress.methods import (
    ADMMPruning,
    DPFPruning,
    DPPPruning,
    FilterRemoval,
    FilterScorePruning,
    JointPruning,
    MagnitudePruning,
    Pruning,
    SPPPruning,
    SRSTEPruning,
)
from systolith.compress.trainer import Trainer
from systolith.data import augment_images
from systolith.prune import (
    BatchStatistics,
    FilterMasks,
    OneShot,
    measure_batch_norms,
    recalibrate_batch_norms_,
    reconstruct_consumers_,
    remove_filters,
)

__all__ = [
    "measure_untrained",
    "recalibrate_",
    "recalibrate_trained_",
    "reconstruct_masked_",
    "remove_chosen",
]


def measure_untrained(model: nn.Module, trainer: Trainer, pruning: Pruning) -> BatchStatistics:
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
    match pruning:
        case JointPruning(joint=True) | MagnitudePruning(schedule=OneShot()):
            return
        case SRSTEPruning() | DPPPruning() | DPFPruning() | ADMMPruning() | SPPPruning():
            pass
        case MagnitudePruning():
            pass
        case _:
            return
    images = trainer.data.calibration_images
    if not trainer.prune_epochs(pruning) or pruning.finetune_epochs or len(images) < 2:
        return
    generator = torch.Generator().manual_seed(trainer.recipe.seed)
    recalibrate_batch_norms_(model, augment_images(images, trainer.recipe.augment, generator))


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


def remove_chosen(
    model: nn.Module, trainer: Trainer, pruning: FilterRemoval, masks: FilterMasks
) -> nn.Module:
    """Remove filters; reconstruct the layers behind them if the method wants it.

    Filters that a training has masked leave without a change, so nothing is to be reconstructed;
    ensembles have reconstructed after each round.
    """
    small = remove_filters(model, masks, trainer.data.train_images[:2])
    match pruning:
        case FilterScorePruning(reconstruct=True):
            wanted = True
        case _:
            wanted = False
    if wanted:
        reconstruct_consumers_(small, model, masks, trainer.data.calibration_images)
    return small


def reconstruct_masked_(
    model: nn.Module, trainer: Trainer, earlier: FilterMasks | None, masks: FilterMasks
) -> None:
    """Reconstruct the layers behind filters that will leave, in place, in the whole network.

    Parameters
    ----------
    model : nn.Module
        All filters are there still.
    trainer : Trainer
        Of calibration images.
    earlier : FilterMasks, optional
        Filters that were left so far: the outputs to reproduce are those of the network with them.
    masks : FilterMasks
        Filters that are left now.
    """
    reference, places = deepcopy(model), deepcopy(model).double()
    if earlier is not None:
        earlier.apply_(reference)
    small = masks.shrink(reference)
    reconstruct_consumers_(small, reference, masks, trainer.data.calibration_images)
    with torch.no_grad():
        for parameter in places.parameters():
            flat = torch.arange(parameter.numel(), dtype=torch.float64)
            parameter.copy_(flat.reshape(parameter.shape))
        kept_places = dict(masks.shrink(places).named_parameters())
        for name, parameter in small.named_parameters():
            flat = model.get_parameter(name).detach().reshape(-1).clone()
            flat[kept_places[name].long().flatten()] = parameter.flatten()
            whole = model.get_parameter(name)
            whole.copy_(flat.reshape(whole.shape))
