"""Objectives: what training minimizes, besides the distance to a teacher."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from systolith.foundation import is_number
from systolith.prune.sparsifier import describe_value
from systolith.train.errors import TrainingError

__all__ = ["CrossEntropy", "TrainingObjective", "describe_setting"]

TrainingObjective = Callable[[Tensor, Tensor], Tensor]
"""Maps outputs and targets to a scalar, usually a mean over images.

Outputs are float32; of classes, logits of shape (N, classes), or (N, classes, H, W) for classes of
pixels. Targets are int64 of shape (N,) or (N, H, W), or probabilities of the shape of the logits
after an augmentation that mixes images. Values have the shape of the outputs; ``nn.MSELoss()``,
``nn.L1Loss()`` and ``nn.HuberLoss()`` are objectives of values.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossEntropy:
    """Cross entropy with labels, mean over images, or over pixels of known class.

    With label smoothing e, the target is ``1 - e + e / classes`` for the label, and ``e / classes``
    for each other class.

    Parameters
    ----------
    label_smoothing : float
        In 0..1, below 1.

    Raises
    ------
    TrainingError
        If label_smoothing is out of range.

    Notes
    -----
    Szegedy, Vanhoucke, Ioffe, Shlens, Wojna: Rethinking the inception architecture for computer
    vision (CVPR 2016), section 7.
    """

    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        if not is_number(self.label_smoothing) or not 0 <= self.label_smoothing < 1:
            raise TrainingError(
                [f"label_smoothing must lie in 0..1, below 1, got {self.label_smoothing}"]
            )

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the loss, a scalar; see :data:`TrainingObjective`."""
        return F.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)


def describe_setting(setting: Any) -> str | None:
    """Describe a callable the same way in each process, for comparison in checkpoints."""
    return None if setting is None else describe_value(setting)
