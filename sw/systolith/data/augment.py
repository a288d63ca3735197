"""Augmentation: changes of training images that keep their class."""

from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["Augment", "shift_images"]


class Augment(Protocol):
    """Changes a batch of images at random, with randomness from the generator only."""

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return changed images of shape (N, C, H, W); the argument is left as it is."""
        ...


def shift_images(images: Tensor, generator: torch.Generator) -> Tensor:
    """Shift each image by -1, 0 or 1 pixels along both axes; zeros come in.

    Parameters
    ----------
    images : Tensor, shape (N, C, H, W)
    generator : torch.Generator
        Source of randomness.

    Returns
    -------
    Tensor, shape and type of images
    """
    count, _, height, width = images.shape
    padded = F.pad(images, (1, 1, 1, 1))
    offset = torch.randint(0, 3, (2, count, 1), generator=generator).to(images.device)
    rows = (offset[0] + torch.arange(height, device=images.device))[:, None, :, None]
    columns = (offset[1] + torch.arange(width, device=images.device))[:, None, None, :]
    return padded[
        torch.arange(count, device=images.device)[:, None, None, None],
        torch.arange(images.shape[1], device=images.device)[None, :, None, None],
        rows,
        columns,
    ]
