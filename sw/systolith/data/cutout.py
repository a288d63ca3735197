"""Cutout: a square of each training image is erased."""

from dataclasses import dataclass

import torch
from torch import Tensor

from systolith.data.augment import SEQUENCE_AXES, place_problems
from systolith.data.dataset import DataError
from systolith.foundation import is_whole

__all__ = ["Cutout"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cutout:
    """Set a square at a random place of each image to zero.

    The centre is any pixel with equal probability, so squares may reach beyond the border. In
    sequences, (N, C, L), it is a span of `size` values; vectors are refused.

    Parameters
    ----------
    size : int, optional
        Side of the square in pixels, at least 1; None is half of the shorter side of the image, as
        the paper's 16 for CIFAR-10.

    Raises
    ------
    DataError
        If size is below 1.

    Notes
    -----
    DeVries, Taylor: Improved regularization of convolutional neural networks with Cutout (2017),
    section 3.2. In normalized images zero is the mean colour, otherwise it is black.
    """

    size: int | None = None

    def __post_init__(self) -> None:
        if self.size is not None and (not is_whole(self.size) or self.size < 1):
            raise DataError([f"size of Cutout must be at least 1, got {self.size}"])

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """See :meth:`Augment.__call__`; all images at once."""
        DataError.raise_if_any(place_problems(self, tuple(images.shape[1:])))
        if images.ndim == SEQUENCE_AXES:
            count, _, length = images.shape
            size = self.size or max(1, length // 2)
            first = torch.randint(0, length, (count, 1), generator=generator) - size // 2
            span = _within(torch.arange(length), first, size)[:, None, :]
            return images.masked_fill(span.to(images.device), 0.0)
        count, _, height, width = images.shape
        size = self.size or max(1, min(height, width) // 2)
        rows = torch.randint(0, height, (count, 1), generator=generator) - size // 2
        columns = torch.randint(0, width, (count, 1), generator=generator) - size // 2
        inside_rows = _within(torch.arange(height), rows, size)
        inside_columns = _within(torch.arange(width), columns, size)
        square = inside_rows[:, None, :, None] & inside_columns[:, None, None, :]
        return images.masked_fill(square.to(images.device), 0.0)


def _within(places: Tensor, first: Tensor, size: int) -> Tensor:
    return (places >= first) & (places < first + size)
