"""How long-running work reports its progress: one type, one callback, everywhere."""

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Progress", "ProgressCallback", "no_progress"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a task has come.

    Parameters
    ----------
    task : str
        Name of the task, such as ``"verify"``.
    done, total : float
        Finished units of the task, and all of its units; `total` is positive.
    text : str
        Current activity, for people; may be empty.
    """

    task: str
    done: float
    total: float
    text: str = ""


ProgressCallback = Callable[[Progress], None]
"""Called with the current :class:`Progress` when work starts, advances and ends."""


def no_progress(progress: Progress) -> None:
    """Ignore progress: the default callback."""
