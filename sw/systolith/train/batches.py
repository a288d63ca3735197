"""The batches of one epoch: a random order of images, augmented."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from systolith.data import Augment, Dataset, FiniteAugment, MixingAugment

__all__ = ["Batch", "draw_batches"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Batch:
    """Images and labels of one step, on the model's device.

    Parameters
    ----------
    images : Tensor of float32, shape (N, C, H, W)
        Augmented.
    labels : Tensor of int64, shape (N,), or of float32, shape (N, classes)
        The latter are probabilities, after an augmentation that mixes images.
    rows : Tensor of int64, shape (N,), optional
        On the CPU: ``image * variants + variant``; None if there is no limit to the variants.
    """

    images: Tensor
    labels: Tensor
    rows: Tensor | None

    @property
    def classes(self) -> Tensor:
        """The class of each image, or the most probable one: int64 of shape (N,)."""
        return self.labels if self.labels.ndim == 1 else self.labels.argmax(1)


def draw_batches(
    data: Dataset,
    batch_size: int,
    augment: Augment | MixingAugment | None,
    generator: torch.Generator,
    device: torch.device,
    classes: int,
) -> Iterator[Batch]:
    """Yield the batches of one epoch; the last one has the remaining images."""
    order = torch.randperm(len(data.train_images), generator=generator)
    for indices in torch.split(order, batch_size):
        images = data.train_images[indices].to(device)
        labels = data.train_labels[indices].to(device)
        rows: Tensor | None = None
        match augment:
            case None:
                rows = indices
            case FiniteAugment():
                variants = augment.draw(len(indices), generator)
                images = augment.apply(images, variants)
                rows = indices * augment.variants + variants
            case MixingAugment():
                targets = F.one_hot(labels, classes).float()
                images, labels = augment.mix(images, targets, generator)
            case _:
                images = augment(images, generator)
        yield Batch(images=images, labels=labels, rows=rows)
