"""The batches of one epoch: a random order of images, augmented."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from systolith.data import Augment, Dataset, FiniteAugment

__all__ = ["Batch", "draw_batches"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Batch:
    """Images and labels of one step, on the model's device.

    Parameters
    ----------
    images : Tensor of float32, shape (N, C, H, W)
        Augmented.
    labels : Tensor of int64, shape (N,)
    rows : Tensor of int64, shape (N,), optional
        On the CPU: ``image * variants + variant``; None if there is no limit to the variants.
    """

    images: Tensor
    labels: Tensor
    rows: Tensor | None


def draw_batches(
    data: Dataset,
    batch_size: int,
    augment: Augment | None,
    generator: torch.Generator,
    device: torch.device,
) -> Iterator[Batch]:
    """Yield the batches of one epoch; the last one has the remaining images."""
    order = torch.randperm(len(data.train_images), generator=generator)
    for indices in torch.split(order, batch_size):
        images = data.train_images[indices].to(device)
        rows: Tensor | None = None
        match augment:
            case None:
                rows = indices
            case FiniteAugment():
                variants = augment.draw(len(indices), generator)
                images = augment.apply(images, variants)
                rows = indices * augment.variants + variants
            case _:
                images = augment(images, generator)
        yield Batch(images=images, labels=data.train_labels[indices].to(device), rows=rows)
