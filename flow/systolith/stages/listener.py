"""How a run tells what it is doing, whoever listens."""

from collections.abc import Callable, Sequence
from typing import Protocol

__all__ = ["Listener", "Progress", "Silent"]

Progress = Callable[[float, float, str], None]
"""Called with what is done, of how much, and what is going on."""


class Listener(Protocol):
    """Hears of a run's progress; the command line draws bars from it."""

    def stage_begins(self, name: str) -> None:
        """Begin a stage."""

    def stage_reruns(self, name: str, reasons: Sequence[str]) -> None:
        """Note that a stage with an earlier result runs again, and why."""

    def progress(self, done: float, total: float, text: str) -> None:
        """Note that `done` of `total` units are finished; `text` says what is going on."""

    def stage_ends(self, name: str, seconds: float, cached: bool) -> None:
        """End a stage; `cached` if its earlier result was found."""


class Silent:
    """Hears nothing."""

    def stage_begins(self, name: str) -> None:
        """Ignore."""

    def stage_reruns(self, name: str, reasons: Sequence[str]) -> None:
        """Ignore."""

    def progress(self, done: float, total: float, text: str) -> None:
        """Ignore."""

    def stage_ends(self, name: str, seconds: float, cached: bool) -> None:
        """Ignore."""
