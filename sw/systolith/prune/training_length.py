"""The number of steps of a training, estimated from its progress, and a warning if it is short."""

import warnings
from typing import Any

__all__ = ["TrainingLength", "warn_of_short_training"]


class TrainingLength:
    """Estimates the steps of a whole training as soon as its progress changes.

    Parameters
    ----------
    known : bool
        Whether the steps are known already; then there is no estimate.

    Examples
    --------
    >>> length = TrainingLength()
    >>> [length.new_estimate(step / 40) for step in range(3)]
    [None, 40, None]
    """

    def __init__(self, *, known: bool = False) -> None:
        self._first: float | None = None
        self._steps = 0
        self._known = known

    def new_estimate(self, progress: float) -> int | None:
        """Return the steps of the training, once, in the step in which they become known.

        Parameters
        ----------
        progress : float
            Of a step that begins, 0..1; it may be the same for all steps of an epoch.
        """
        if self._known:
            return None
        if self._first is None:
            self._first = progress
        if progress > self._first:
            self._known = True
            return max(round(self._steps / (progress - self._first)), 1)
        self._steps += 1
        return None

    def state_dict(self) -> dict[str, Any]:
        """Return the steps so far."""
        return {"first": self._first, "steps": self._steps, "known": self._known}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from such a state."""
        self._first, self._steps, self._known = state["first"], state["steps"], state["known"]


def warn_of_short_training(what: str, requirement: str, got: str) -> None:
    """Warn that a schedule cannot finish."""
    warnings.warn(f"{what} needs {requirement}, got {got}", UserWarning, stacklevel=2)
