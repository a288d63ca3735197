"""Augmentation: random changes of training images that keep their class."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn import functional as F

from systolith.data.dataset import DataError
from systolith.foundation import is_whole, show_value

__all__ = [
    "Augment",
    "FiniteAugment",
    "RandomCrop",
    "crop_and_flip",
    "place_problems",
    "shift_images",
]

SEQUENCE_AXES = 3
"""N, C, L."""


class Augment(Protocol):
    """Changes a batch of images; all randomness comes from the generator."""

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return changed images, or sequences, of their shape; the argument does not change."""
        ...


@runtime_checkable
class FiniteAugment(Augment, Protocol):
    """Draws one of a few variants of each image, so that a teacher's logits can be cached.

    A call equals ``apply(images, draw(len(images), generator))``.
    """

    @property
    def variants(self) -> int:
        """Number of variants of an image."""
        ...

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw a variant for each of `count` images: int64 of shape (N,), 0..variants-1."""
        ...

    def apply(self, images: Tensor, variants: Tensor) -> Tensor:
        """Return these variants of the images; no randomness."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomCrop:
    """Shift each image along both axes, and mirror half of the images if wanted.

    Equals a random crop, (H, W), of the image with `padding` pixels of zeros around it. Sequences,
    (N, C, L), are shifted and mirrored along their length; vectors are refused.

    Parameters
    ----------
    padding : int
        Largest shift in pixels, at least 0; all ``2 * padding + 1`` shifts are equally likely.
    mirror : bool
        Whether half of the images are mirrored left to right.

    Raises
    ------
    DataError
        If padding is below 0.
    """

    padding: int
    mirror: bool

    def __post_init__(self) -> None:
        if not is_whole(self.padding) or self.padding < 0:
            given = show_value(self.padding)
            raise DataError([f"padding of RandomCrop must be at least 0, got {given}"])

    @property
    def variants(self) -> int:
        """Number of variants of an image."""
        return self._shifts**2 * (1 + self.mirror)

    @property
    def _shifts(self) -> int:
        return 2 * self.padding + 1

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Change each image at random.

        Parameters
        ----------
        images : Tensor, shape (N, C, H, W) or (N, C, L)
        generator : torch.Generator
            On the CPU.

        Returns
        -------
        Tensor, shape and type of images

        Raises
        ------
        DataError
            If they are vectors.
        """
        return self.apply(images, self.draw(len(images), generator))

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """See :meth:`FiniteAugment.draw`: ``(row * shifts + column) * 2 + mirrored``."""
        shifts = torch.randint(0, self._shifts, (2, count, 1), generator=generator)
        variants = shifts[0, :, 0] * self._shifts + shifts[1, :, 0]
        if self.mirror:
            mirrored = torch.rand(count, 1, generator=generator)[:, 0] < 0.5
            variants = variants * 2 + mirrored
        return variants

    def apply(self, images: Tensor, variants: Tensor) -> Tensor:
        """See :meth:`FiniteAugment.apply`.

        One gather, in NHWC memory, so that it copies whole pixels. Sequences are images of one row,
        which is not shifted up or down.
        """
        DataError.raise_if_any(place_problems(self, tuple(images.shape[1:])))
        if images.ndim == SEQUENCE_AXES:
            mirrors = 1 + self.mirror
            centre = self.padding * self._shifts * mirrors
            along = variants % (self._shifts * mirrors)
            return self.apply(images.unsqueeze(2), centre + along).squeeze(2)
        count, _, height, width = images.shape
        shift = variants // 2 if self.mirror else variants
        mirrored = (variants % 2 == 1) & self.mirror
        padded = F.pad(images, (self.padding,) * 4).permute(0, 2, 3, 1)
        columns = torch.arange(width).expand(count, -1)
        columns = torch.where(mirrored[:, None], width - 1 - columns, columns)
        columns = columns + (shift % self._shifts)[:, None]
        rows = (shift // self._shifts)[:, None] + torch.arange(height)
        index = (rows[:, :, None] * padded.shape[2] + columns[:, None, :]).flatten(1)
        index += torch.arange(count)[:, None] * padded.shape[1] * padded.shape[2]
        pixels = padded.reshape(-1, padded.shape[3])[index.flatten().to(images.device)]
        return pixels.reshape(count, height, width, -1).permute(0, 3, 1, 2)


def place_problems(augment: object, input_shape: tuple[int, ...]) -> Iterator[str]:
    """Yield why a change of places does not fit vectors, which have none."""
    if len(input_shape) < SEQUENCE_AXES - 1:
        yield (
            f"{type(augment).__name__} needs images (N, C, H, W) or sequences (N, C, L), got "
            f"vectors of {', '.join(map(str, input_shape))} features"
        )


shift_images = RandomCrop(padding=1, mirror=False)
"""Shift each image by -1, 0 or 1 pixels along both axes; fill with zeros."""

crop_and_flip = RandomCrop(padding=4, mirror=True)
"""Shift each image by up to 4 pixels along both axes, and mirror half of them; usual for CIFAR."""
