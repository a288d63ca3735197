"""The protocol of fuzzing: cases, verdicts, and targets that draw, judge and shrink cases."""

import signal
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import FrameType
from typing import Protocol, TypeVar

from systolith.fuzz.choices import Choices

__all__ = [
    "FindingKind",
    "FuzzCase",
    "FuzzTarget",
    "Verdict",
    "explain_damage",
    "judge_within",
    "suppress_warnings",
]


class FindingKind(Enum):
    """Kinds of findings."""

    MISMATCH = "mismatch"
    """A value differs from the reference, or a stream breaks a rule."""
    CYCLES = "cycle error"
    """A frame starts or ends in another cycle than the cycle model predicts."""
    ERROR = "error"
    """An unexpected exception, or work that takes too long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Result of judging one case.

    Attributes
    ----------
    findings : tuple of (FindingKind, str)
        Errors of systolith; empty if there are none.
    refusals : tuple of str
        Reasons why a reader of models refuses the case. A refusal is no error.
    """

    findings: tuple[tuple[FindingKind, str], ...] = ()
    refusals: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether there are no findings."""
        return not self.findings

    @property
    def kinds(self) -> frozenset[FindingKind]:
        """Kinds of the findings."""
        return frozenset(kind for kind, _ in self.findings)

    @property
    def outcome(self) -> str:
        """``wrong``, ``refused`` or ``accepted``."""
        if self.findings:
            return "wrong"
        return "refused" if self.refusals else "accepted"


class FuzzCase(Protocol):
    """A case that can be saved."""

    @property
    def key(self) -> str:
        """Hash of the whole content of the case."""

    def save(self, folder: Path) -> None:
        """Write the case as files."""


C = TypeVar("C", bound=FuzzCase)


class FuzzTarget(Protocol[C]):
    """What is fuzzed: it draws, judges, shrinks and loads cases."""

    def require(self) -> None:
        """Check that all tools are installed, before any case is drawn."""

    def draw(self, choices: Choices) -> C:
        """Draw a case."""

    def judge(self, case: C, workdir: Path) -> Verdict:
        """Judge a case; no other case uses `workdir` at the same time."""

    def shrink(
        self,
        case: C,
        verdict: Verdict,
        made: Sequence[int],
        judge: Callable[[C], Verdict],
        attempts: int,
    ) -> tuple[C, Verdict]:
        """Find a simpler case that fails in the same way.

        Parameters
        ----------
        case, verdict : case, Verdict
            The failing case.
        made : sequence of int
            The choices that drew it.
        judge : callable
            Judges a case.
        attempts : int
            Most cases to judge.
        """

    def load(self, folder: Path) -> C:
        """Read a case that its ``save`` wrote; ValueError if the files are damaged."""

    def contents(self, case: C) -> Iterator[str]:
        """List the features of a case, for the coverage table."""

    @property
    def settings(self) -> dict[str, int]:
        """Settings that, with seed and number, determine a case."""


@contextmanager
def explain_damage(folder: Path, what: str) -> Iterator[None]:
    """Turn any exception of reading a saved case into a ValueError that names the folder."""
    try:
        yield
    except Exception as error:  # protobuf and NumPy raise exceptions of their own
        raise ValueError(f"{folder} does not hold {what}: {error}") from error


@contextmanager
def suppress_warnings() -> Iterator[None]:
    """Suppress the thousands of warnings that odd random models cause."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


class _TooLongError(BaseException):
    """Not an Exception, so that no handler of exceptions stops it."""


def judge_within(seconds: int, judge: Callable[[], Verdict]) -> Verdict:
    """Judge a case; taking longer than a number of seconds is a finding.

    Only the main thread of a process can be interrupted. Other threads have no limit.
    """
    try:
        with _alarm(seconds):
            return judge()
    except _TooLongError:
        finding = f"TimeoutError: not done after {seconds} s"
        return Verdict(findings=((FindingKind.ERROR, finding),))


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
