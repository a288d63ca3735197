"""Images that masks are evaluated on, and the loss."""

from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor
from torch.nn import functional as F

from systolith.prune.errors import PruneError

__all__ = ["EvaluationSplit", "Loss"]

CPU_BATCH, CPU_FOLDED = 64, 128
GPU_BATCH, GPU_FOLDED = 512, 8192


class Loss(Enum):
    """Loss of a network, averaged over images."""

    MISCLASSIFICATION = "misclassification"
    """Share of images whose highest logit (the first, if equal) is not that of their label; 0..1.
    Logits with NaN count as wrong. Most masks of a small layer misclassify equally few of a few
    hundred images, so it does not tell them apart."""
    CROSS_ENTROPY = "cross-entropy"
    """In nats. It is finer than counting, so fewer images suffice."""

    def total(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Sum over images, in float64.

        Parameters
        ----------
        logits : Tensor, shape (P, N, classes)
        labels : Tensor of int64, shape (N,)

        Returns
        -------
        Tensor of float64, shape (P,)
        """
        if self is Loss.MISCLASSIFICATION:
            wrong = (logits.argmax(-1) != labels) | logits.isnan().any(-1)
            return wrong.sum(1).double()
        chances = F.log_softmax(logits.to(torch.promote_types(logits.dtype, torch.float32)), -1)
        picked = chances.gather(-1, labels.expand(len(logits), -1)[..., None])
        return -picked.double().sum((1, 2))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EvaluationSplit:
    """Held-out training images and the settings of their evaluation. Never use test images.

    Parameters
    ----------
    images : Tensor of float, shape (N, ...)
        At least one.
    labels : Tensor of int64, shape (N,)
    loss : Loss
        Loss to minimise; Anwar et al. count misclassifications.
    batch_size : int, optional
        Number of images that run together; by default :data:`CPU_BATCH` or :data:`GPU_BATCH`.
    folded : int, optional
        Number of samples (masks times images) that run together, which limits memory; by default
        :data:`CPU_FOLDED`, which suits processor caches, or :data:`GPU_FOLDED`.
    dtype : torch.dtype, optional
        Type for automatic mixed precision, by default the model's. ``torch.bfloat16`` is about
        twice as fast where the processor multiplies such numbers, but losses then have 3 digits.
    channels_last : bool
        Store images and weights channels last, which is faster on most machines.

    Raises
    ------
    PruneError
        If the split is empty, or shapes, types or numbers do not fit; all problems are listed.
    """

    images: Tensor
    labels: Tensor
    loss: Loss = Loss.CROSS_ENTROPY
    batch_size: int | None = None
    folded: int | None = None
    dtype: torch.dtype | None = None
    channels_last: bool = True

    def __post_init__(self) -> None:
        problems = []
        if self.images.ndim < 2 or not self.images.is_floating_point():
            problems.append(
                "images of an evaluation split must be of float and have shape (N, ...), "
                f"got {self.images.dtype} {tuple(self.images.shape)}"
            )
        elif len(self.images) == 0:
            problems.append("an evaluation split needs at least one image, got none")
        if self.labels.dtype != torch.int64 or self.labels.shape != self.images.shape[:1]:
            problems.append(
                f"labels of an evaluation split must be int64 and have shape "
                f"({len(self.images) if self.images.ndim else 0},), one per image, "
                f"got {self.labels.dtype} {tuple(self.labels.shape)}"
            )
        for name, value in (("batch_size", self.batch_size), ("folded", self.folded)):
            if value is not None and value < 1:
                problems.append(f"{name} of an evaluation split must be at least 1, got {value}")
        PruneError.raise_if_any(problems)

    @property
    def guessing_loss(self) -> float:
        """Loss of the best network that ignores its input, and only knows how frequent labels are.

        Examples
        --------
        >>> images, labels = torch.zeros(4, 1), torch.tensor([0, 0, 0, 1])
        >>> EvaluationSplit(
        ...     images=images, labels=labels, loss=Loss.MISCLASSIFICATION
        ... ).guessing_loss
        0.25
        """
        shares = torch.bincount(self.labels).double() / len(self.labels)
        if self.loss is Loss.MISCLASSIFICATION:
            return float(1 - shares.max())
        return float(torch.special.entr(shares).sum())

    def sizes(self, device: torch.device) -> tuple[int, int]:
        """Numbers of images and of masks that run together on a device; at least 1 each."""
        small = device.type == "cpu"
        batch_size = self.batch_size or (CPU_BATCH if small else GPU_BATCH)
        folded = self.folded or (CPU_FOLDED if small else GPU_FOLDED)
        return batch_size, max(1, folded // min(batch_size, len(self.images)))
