"""The batches of one epoch: a random order of images, augmented."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from systolith.data import Augment, Dataset, FiniteAugment, MixingAugment, TargetKind
from systolith.data.pairs import augment_pairs, move_targets
from systolith.train.targets import target_places

__all__ = ["Batch", "draw_batches"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Batch:
    """Images and targets of one step, on the model's device.

    Parameters
    ----------
    images : Tensor of float32, shape (N, C, H, W)
        Augmented.
    targets : Tensor
        As the data set has them; float32 probabilities of classes, (N, classes, ...), after an
        augmentation that mixes images.
    rows : Tensor of int64, shape (N,), optional
        On the CPU: ``image * variants + variant``; None if there is no limit to the variants.
    """

    images: Tensor
    targets: Tensor
    rows: Tensor | None


def draw_batches(
    data: Dataset,
    batch_size: int,
    augment: Augment | MixingAugment | None,
    generator: torch.Generator,
    device: torch.device,
    classes: int,
) -> Iterator[Batch]:
    """Yield the batches of one epoch; the last one has the remaining images."""
    moves = bool(target_places(data))
    order = torch.randperm(len(data.train_images), generator=generator)
    for indices in torch.split(order, batch_size):
        images = data.train_images[indices].to(device)
        targets = data.train_targets[indices].to(device)
        rows: Tensor | None = None
        match augment:
            case None:
                rows = indices
            case FiniteAugment():
                variants = augment.draw(len(indices), generator)
                images = augment.apply(images, variants)
                targets = move_targets(targets, augment, variants) if moves else targets
                rows = indices * augment.variants + variants
            case _:
                if isinstance(augment, MixingAugment):
                    targets = data.target.as_real(targets, classes)
                images, targets = augment_pairs(images, targets, augment, generator, moves=moves)
        if data.target is TargetKind.INPUT:
            targets = images
        yield Batch(images=images, targets=targets, rows=rows)
