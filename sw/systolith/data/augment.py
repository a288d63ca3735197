"""Augmentation: random changes of training images that keep their class."""

from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["Augment", "crop_and_flip", "shift_images"]


class Augment(Protocol):
    """Changes a batch of images; all randomness comes from the generator."""

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return changed images of shape (N, C, H, W); the argument does not change."""
        ...


def shift_images(images: Tensor, generator: torch.Generator) -> Tensor:
    """Shift each image by -1, 0 or 1 pixels along both axes; fill with zeros.

    Parameters
    ----------
    images : Tensor, shape (N, C, H, W)
    generator : torch.Generator
        On the CPU.

    Returns
    -------
    Tensor, shape and type of images
    """
    offset = torch.randint(0, 3, (2, len(images), 1), generator=generator)
    mirror = torch.zeros(len(images), 1, dtype=torch.bool)
    return _crop(images, 1, offset, mirror)


def crop_and_flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Shift each image by up to 4 pixels along both axes, and mirror half of them.

    The usual augmentation for CIFAR: a random crop of the image with 4 pixels of zeros around it.
    Parameters as :func:`shift_images`.
    """
    offset = torch.randint(0, 9, (2, len(images), 1), generator=generator)
    mirror = torch.rand(len(images), 1, generator=generator) < 0.5
    return _crop(images, 4, offset, mirror)


def _crop(images: Tensor, padding: int, offset: Tensor, mirror: Tensor) -> Tensor:
    """Cut (H, W) out of each padded image at its offset, (2, N, 1), in one gather.

    The gather runs in NHWC memory, so that it copies whole pixels.
    """
    count, _, height, width = images.shape
    padded = F.pad(images, (padding,) * 4).permute(0, 2, 3, 1)
    columns = torch.arange(width).expand(count, -1)
    columns = offset[1] + torch.where(mirror, width - 1 - columns, columns)
    rows = offset[0] + torch.arange(height)
    index = (rows[:, :, None] * (width + 2 * padding) + columns[:, None, :]).flatten(1)
    index += torch.arange(count)[:, None] * padded.shape[1] * padded.shape[2]
    pixels = padded.reshape(-1, padded.shape[3])[index.flatten().to(images.device)]
    return pixels.reshape(count, height, width, -1).permute(0, 3, 1, 2)
