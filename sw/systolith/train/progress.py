"""What a training loop reports while it works."""

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Progress", "Report"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """State of training, after an epoch or within one.

    Parameters
    ----------
    phase : str
        ``"float"``, ``"prune"`` or ``"quantize"``, or what the caller named it.
    epoch, epochs : int
        The epoch at work, from 1, and their number.
    step, steps : int
        Steps of the epoch done, and in all; equal when the epoch is done.
    loss : float
        Mean over the training images of the epoch so far.
    accuracy : float
        Share of those images, augmented, that were classified right while training; 0..1.
    density : float
        Share kept of what is pruned, as it would be if training ended now; 1 without pruning.
    seconds_left : float
        Estimate for the rest of this phase.
    """

    phase: str
    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    accuracy: float
    density: float
    seconds_left: float

    @property
    def epoch_done(self) -> bool:
        """Whether the epoch is over."""
        return self.step == self.steps


Report = Callable[[Progress], None]
"""Called after each epoch, and about once per second within it."""
