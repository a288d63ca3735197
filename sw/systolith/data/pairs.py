"""Images and targets that augmentation changes together."""

import torch
from torch import Tensor

from systolith.data.augment import Augment, FiniteAugment, RandomCrop
from systolith.data.chain import parts_of
from systolith.data.mixup import MixingAugment
from systolith.data.targets import UNKNOWN_CLASS

__all__ = ["augment_pairs", "move_targets"]


def augment_pairs(
    images: Tensor,
    targets: Tensor,
    augment: Augment | MixingAugment | None,
    generator: torch.Generator,
    *,
    moves: bool,
) -> tuple[Tensor, Tensor]:
    """Change images, and their targets where they belong to places or are mixed.

    Parameters
    ----------
    images : Tensor, shape (N, C, ...)
    targets : Tensor
        Of real type if the augmentation mixes.
    augment : Augment or MixingAugment, optional
    generator : torch.Generator
    moves : bool
        Whether targets have places, so that a :class:`RandomCrop` moves them, too.
    """
    for part in parts_of(augment):
        match part:
            case None:
                pass
            case MixingAugment():
                images, targets = part.mix(images, targets, generator)
            case RandomCrop() if moves:
                variants = part.draw(len(images), generator)
                images = part.apply(images, variants)
                targets = move_targets(targets, part, variants)
            case _:
                images = part(images, generator)
    return images, targets


def move_targets(targets: Tensor, augment: FiniteAugment, variants: Tensor) -> Tensor:
    """Move targets as their images; what comes in at the border is unknown, or 0 for values.

    Parameters
    ----------
    targets : Tensor of int64, or of float32
        Classes of pixels, (N, H, W) or (N, L), or values, (N, C, H, W) or (N, C, L).
    augment : FiniteAugment
        That only moves pixels.
    variants : Tensor of int64, shape (N,)
    """
    if targets.is_floating_point():
        return augment.apply(targets, variants)
    known = (targets - UNKNOWN_CLASS).float().unsqueeze(1)  # exact; the border's 0 is unknown
    return augment.apply(known, variants).squeeze(1).long() + UNKNOWN_CLASS
