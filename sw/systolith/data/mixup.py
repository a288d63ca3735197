"""MixUp: training images and their labels are averaged in pairs."""

from dataclasses import dataclass
from math import inf
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from systolith.data.dataset import DataError
from systolith.foundation import is_number

__all__ = ["MixUp", "MixingAugment"]

SEEDS = 1 << 62


@runtime_checkable
class MixingAugment(Protocol):
    """Changes a batch of images together with their labels."""

    def mix(
        self, images: Tensor, targets: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Return changed images, (N, C, H, W), and the probabilities of classes, (N, classes).

        The arguments do not change; `targets` is one-hot before the first mixing.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class MixUp:
    """Average each image of a batch, and its label, with those of another image.

    ``share * x[i] + (1 - share) * x[j]``, with one share for the batch, drawn from
    Beta(alpha, alpha), and j a random permutation of the batch.

    Parameters
    ----------
    alpha : float
        Positive; the larger it is, the closer are shares to one half.

    Raises
    ------
    DataError
        If alpha is not positive.

    Notes
    -----
    Zhang, Cisse, Dauphin, Lopez-Paz: mixup: beyond empirical risk minimization (ICLR 2018),
    equation 1 and figure 1; alpha 0.2 for ImageNet, 1 for CIFAR-10.
    """

    alpha: float = 0.2

    def __post_init__(self) -> None:
        if not is_number(self.alpha) or not 0 < self.alpha < inf:
            raise DataError([f"alpha of MixUp must be positive, got {self.alpha}"])

    def mix(
        self, images: Tensor, targets: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """See :meth:`MixingAugment.mix`."""
        seed = int(torch.randint(SEEDS, (), generator=generator))
        share = np.random.default_rng(seed).beta(self.alpha, self.alpha)
        other = torch.randperm(len(images), generator=generator).to(images.device)
        return (
            torch.lerp(images[other], images, share),
            torch.lerp(targets[other], targets, share),
        )
