"""Several augmentations, one after the other."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from systolith.data.augment import Augment, FiniteAugment
from systolith.data.mixup import MixingAugment

__all__ = ["augment_images", "combine_augments"]


def combine_augments(
    augments: Sequence[Augment | MixingAugment],
) -> Augment | MixingAugment | None:
    """Combine augmentations: each changes what the one before it returns.

    Returns
    -------
    Augment, MixingAugment or None
        None for no augmentation; a :class:`FiniteAugment` if all of them are; a
        :class:`MixingAugment` if any of them mixes.
    """
    if len(augments) < 2:
        return augments[0] if augments else None
    finite = [augment for augment in augments if isinstance(augment, FiniteAugment)]
    if len(finite) == len(augments):
        return _FiniteChain(tuple(finite))
    plain = [augment for augment in augments if not isinstance(augment, MixingAugment)]
    if len(plain) == len(augments):
        return _Chain(tuple(plain))
    return _MixingChain(tuple(augments))


def augment_images(
    images: Tensor, augment: Augment | MixingAugment | None, generator: torch.Generator
) -> Tensor:
    """Return images as training sees them, whatever becomes of their labels."""
    match augment:
        case None:
            return images
        case MixingAugment():
            return augment.mix(images, torch.zeros(len(images), 1), generator)[0]
        case _:
            return augment(images, generator)


@dataclass(frozen=True, slots=True)
class _Chain:
    parts: tuple[Augment, ...]

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        for part in self.parts:
            images = part(images, generator)
        return images


@dataclass(frozen=True, slots=True)
class _MixingChain:
    parts: tuple[Augment | MixingAugment, ...]

    def mix(
        self, images: Tensor, targets: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        for part in self.parts:
            if isinstance(part, MixingAugment):
                images, targets = part.mix(images, targets, generator)
            else:
                images = part(images, generator)
        return images, targets


@dataclass(frozen=True, slots=True)
class _FiniteChain:
    """The variant of the last part counts fastest."""

    parts: tuple[FiniteAugment, ...]

    @property
    def variants(self) -> int:
        return prod(part.variants for part in self.parts)

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        return self.apply(images, self.draw(len(images), generator))

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        variants = torch.zeros(count, dtype=torch.int64)
        for part in self.parts:
            variants = variants * part.variants + part.draw(count, generator)
        return variants

    def apply(self, images: Tensor, variants: Tensor) -> Tensor:
        below = self.variants
        for part in self.parts:
            below //= part.variants
            images = part.apply(images, variants // below % part.variants)
        return images
