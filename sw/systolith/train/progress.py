"""Progress reports of the training loop."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from systolith.foundation import Progress

__all__ = ["EpochCallback", "EpochProgress"]

SMALL = 0.1
"""Loss below which three digits behind the point tell too little."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochProgress(Progress):
    """State of training, after an epoch or within one.

    `task` is the name of the phase, such as ``"float"``; `done` and `total` count epochs.

    Parameters
    ----------
    epoch : int
        The current epoch, from 1.
    step, steps : int
        Finished optimizer steps of the epoch, and all of them; equal at the end of the epoch.
    loss : float
        Mean over the training images of the epoch so far.
    accuracy : float or None
        Share of those images, or of their pixels, augmented, that were classified correctly during
        training; 0..1. None if targets are no classes.
    density : float
        Share kept of what is pruned, as if training ended now; 1 without pruning.
    seconds_left : float
        Estimate for the rest of this phase.
    """

    epoch: int
    step: int
    steps: int
    loss: float
    accuracy: float | None
    density: float
    seconds_left: float

    @classmethod
    def make(
        cls,
        phase: str,
        epoch: int,
        epochs: int,
        *,
        step: int,
        steps: int,
        loss: float,
        accuracy: float | None,
        density: float,
        seconds_left: float,
    ) -> "EpochProgress":
        """Make a record with `done` and `text` that follow from the other values."""
        right = "" if accuracy is None else f", {accuracy:.1%}"
        kept = f", {density:.0%} kept" if density < 1 else ""
        left = timedelta(seconds=round(seconds_left))
        return cls(
            task=phase,
            done=epoch - 1 + step / steps,
            total=epochs,
            text=f"{phase} {epoch}/{epochs}, loss {_digits(loss)}{right}{kept}, {left} left",
            epoch=epoch,
            step=step,
            steps=steps,
            loss=loss,
            accuracy=accuracy,
            density=density,
            seconds_left=seconds_left,
        )

    @property
    def phase(self) -> str:
        """Name of the phase."""
        return self.task

    @property
    def epochs(self) -> int:
        """Epochs of the phase."""
        return round(self.total)

    @property
    def epoch_done(self) -> bool:
        """Whether the epoch is over."""
        return self.step == self.steps


def _digits(loss: float) -> str:
    """Write a loss, which may be far below 1 where it is a squared error."""
    return f"{loss:.3f}" if loss >= SMALL else f"{loss:.3g}"


EpochCallback = Callable[[EpochProgress], None]
"""Called after each epoch, and about once per second within it."""
