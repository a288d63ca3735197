"""What is fuzzed: how its cases are drawn, judged, made smaller, kept and counted."""

import signal
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Protocol, TypeVar

from systolith.fuzz.choices import Choices
from systolith.fuzz.verdict import Kind, Verdict

__all__ = ["Kept", "Target", "silent", "timed"]


class Kept(Protocol):
    """A case that can be written down."""

    @property
    def key(self) -> str:
        """Hash of all that the case is."""

    def save(self, folder: Path) -> None:
        """Write it as files."""


C = TypeVar("C", bound=Kept)


class Target(Protocol[C]):
    """Anything that random cases go through."""

    def require(self) -> None:
        """See that all tools are there, before anything is drawn."""

    def draw(self, choices: Choices) -> C:
        """Choose a case."""

    def judge(self, case: C, workdir: Path) -> Verdict:
        """Say what is wrong; `workdir` is for builds, of one case at a time."""

    def shrink(
        self,
        case: C,
        verdict: Verdict,
        made: Sequence[int],
        judged: Callable[[C], Verdict],
        attempts: int,
    ) -> tuple[C, Verdict]:
        """Find a simpler case that fails in the same way."""

    def contents(self, case: C) -> Iterator[str]:
        """List what a case contains."""

    @property
    def settings(self) -> dict[str, int]:
        """What else decides which case a number is."""


@contextmanager
def silent() -> Iterator[None]:
    """Drop warnings: of thousands of odd models, these are many."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


class _TooLongError(BaseException):
    """Past whatever handles an Exception."""


def timed(judged: Callable[[], Verdict], seconds: int) -> Verdict:
    """Judge for so long at most; taking longer is a finding.

    Only the main thread of a process can be interrupted; elsewhere there is no limit.
    """
    try:
        with _alarm(seconds):
            return judged()
    except _TooLongError:
        return Verdict(findings=((Kind.ERROR, f"TimeoutError: not done after {seconds} s"),))


@contextmanager
def _alarm(seconds: int) -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> None:
        raise _TooLongError

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
