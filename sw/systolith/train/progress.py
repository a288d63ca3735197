"""What a training loop reports after each epoch."""

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Progress", "Report"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """State of training after an epoch.

    Parameters
    ----------
    phase : str
        ``"float"``, ``"prune"`` or ``"quantize"``, or what the caller named it.
    epoch, epochs : int
        Epochs done, from 1, and in total.
    loss : float
        Mean over the training images of the epoch.
    accuracy : float
        Share of those images, augmented, that were classified right while training; 0..1.
    seconds_left : float
        Estimate for the rest of this phase.
    """

    phase: str
    epoch: int
    epochs: int
    loss: float
    accuracy: float
    seconds_left: float


Report = Callable[[Progress], None]
"""Called after each epoch."""
