"""What a network learns to give: classes, classes of pixels, values, or its own input."""

from collections.abc import Iterator
from enum import Enum

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["UNKNOWN_CLASS", "TargetKind"]

UNKNOWN_CLASS = -100
"""Class of pixels that neither training nor evaluation counts, as in ``F.cross_entropy``."""


class TargetKind(Enum):
    """Kind of the targets that a data set has for its images, sequences or vectors."""

    CLASSES = "classes"
    """int64 of shape (N,), in ``0..classes-1``; the network gives logits, (N, classes)."""
    PIXEL_CLASSES = "pixel-classes"
    """int64 of shape (N, H, W), or (N, L) of sequences, in ``0..classes-1``, or
    :data:`UNKNOWN_CLASS`; the network gives logits, (N, classes, H, W) or (N, classes, L)."""
    VALUES = "values"
    """float32 of the shape of the network's outputs: vectors, images, or one number, (N,)."""
    INPUT = "input"
    """The images themselves, as an autoencoder gives them. Labels of test images, if there are
    any, tell anomalies, 1, from normal images, 0."""

    @property
    def is_classes(self) -> bool:
        """Whether outputs are logits of classes, so that an accuracy can be counted."""
        return self in (TargetKind.CLASSES, TargetKind.PIXEL_CLASSES)

    def label_problems(self, images: Tensor, labels: Tensor, part: str) -> Iterator[str]:
        """Yield why labels, of which there are some, are no targets of this kind.

        Parameters
        ----------
        images : Tensor, shape (N, ...)
        labels : Tensor
        part : str
            "train" or "test", for messages.
        """
        count, given = len(images), f"got {labels.dtype} {tuple(labels.shape)}"
        fits = labels.shape[:1] == images.shape[:1]
        match self:
            case TargetKind.CLASSES if labels.dtype != torch.int64 or labels.shape != (count,):
                yield f"{part}_labels must be int64 of shape ({count},), {given}"
            case TargetKind.PIXEL_CLASSES if (
                labels.dtype != torch.int64 or labels.ndim not in (2, 3) or not fits
            ):
                shape = f"({count}, H, W) or ({count}, L)"
                yield f"{part}_labels must be int64 of shape {shape}, classes of pixels, {given}"
            case TargetKind.VALUES if labels.dtype != torch.float32 or not fits:
                yield f"{part}_labels must be float32 of shape ({count}, ...), {given}"
            case TargetKind.INPUT if part == "train":
                yield f"train_labels must be left out, as the images are the targets, {given}"
            case TargetKind.INPUT if (
                labels.dtype != torch.int64
                or labels.shape != (count,)
                or not ((labels == 0) | (labels == 1)).all()
            ):
                meaning = "0 for normal images and 1 for anomalies"
                yield f"test_labels must be int64 of shape ({count},), {meaning}, {given}"

    def as_real(self, targets: Tensor, classes: int) -> Tensor:
        """Return targets that can be averaged: probabilities of classes, or the values.

        Parameters
        ----------
        targets : Tensor
        classes : int
            Logits of the network.

        Returns
        -------
        Tensor of float32
            Probabilities of shape (N, classes, ...); all are 0 for pixels of unknown class.
        """
        if not self.is_classes:
            return targets
        known = targets != UNKNOWN_CLASS
        one_hot = F.one_hot(targets * known, classes) * known.unsqueeze(-1)
        return one_hot.movedim(-1, 1).float()
