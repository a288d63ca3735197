"""Shrink a failing case: by simpler choices with hypothesis, or by removing parts."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol, Self, TypeVar

from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis import strategies as st
from hypothesis.database import ExampleDatabase, choices_to_bytes

from systolith.fuzz.choices import Choices, HypothesisChoices
from systolith.fuzz.target import FindingKind, FuzzCase, Verdict

__all__ = ["Reducible", "remove_parts", "shrink_choices"]

C = TypeVar("C", bound=FuzzCase)


class _Start(ExampleDatabase):
    """A database with one example, from which shrinking starts."""

    def __init__(self, made: Sequence[int]) -> None:
        super().__init__()
        # Without one choice too many, hypothesis would consider the example fully shrunk.
        self._example = choices_to_bytes([*made, 0])

    def fetch(self, key: bytes) -> Iterable[bytes]:
        yield self._example

    def save(self, key: bytes, value: bytes) -> None:
        pass

    def delete(self, key: bytes, value: bytes) -> None:
        pass


@st.composite
def _drawings(draw: st.DrawFn, draw_case: Callable[[Choices], C]) -> tuple[C, list[int]]:
    choices = HypothesisChoices(draw)
    return draw_case(choices), choices.made


class _StillFailsError(Exception):
    """Tells hypothesis to keep the example."""


class _EnoughError(BaseException):
    """Ends the search. Hypothesis would take any Exception for a failing case."""


def shrink_choices(
    draw_case: Callable[[Choices], C],
    case: C,
    verdict: Verdict,
    made: Sequence[int],
    judge: Callable[[C], Verdict],
    *,
    attempts: int,
) -> tuple[C, Verdict]:
    """Find a simpler case with a finding of the same kind.

    Parameters
    ----------
    draw_case : callable
        Draws a case, as it drew `case`.
    case, verdict : case, Verdict
        The failing case.
    made : sequence of int
        The choices that drew it.
    judge : callable
        Judges a case.
    attempts : int
        Most cases to judge.

    Returns
    -------
    case, Verdict
        The simplest case, perhaps the given one.
    """
    verdicts = {case.key: verdict}
    best, best_verdict = case, verdict

    def attempt(drawing: tuple[C, list[int]]) -> None:
        nonlocal best, best_verdict, made
        case, choices = drawing
        if case.key not in verdicts:
            if len(verdicts) > attempts:
                raise _EnoughError
            verdicts[case.key] = judge(case)
        if not verdicts[case.key].kinds & verdict.kinds:
            return
        best, best_verdict, made = case, verdicts[case.key], choices
        raise _StillFailsError

    start = None
    while start != best.key:  # hypothesis gives up after a few minutes, even if it could go on
        start = best.key
        try:
            _settings(made)(given(_drawings(draw_case))(attempt))()
        except _StillFailsError:
            pass
        except _EnoughError:
            break
    return best, best_verdict


def _settings(made: Sequence[int]) -> settings:
    return settings(
        phases=(Phase.reuse, Phase.shrink),
        database=_Start(made),
        deadline=None,
        verbosity=Verbosity.quiet,
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )


class Reducible(FuzzCase, Protocol):
    """A case that can lose parts."""

    def simpler(self) -> Iterator[Self]:
        """List cases with fewer parts, the smallest first; some cannot run."""


R = TypeVar("R", bound=Reducible)


def remove_parts(
    case: R,
    verdict: Verdict,
    judge: Callable[[R], Verdict],
    *,
    attempts: int,
    seconds: float = 120.0,
) -> tuple[R, Verdict]:
    """Remove parts of a case while the rest has a finding of the same kind.

    Parameters
    ----------
    case, verdict : case, Verdict
        The failing case.
    judge : callable
        Judges a case; one that cannot run has no findings.
    attempts : int
        Most cases to judge.
    seconds : float
        Time after which no further case is judged.

    Returns
    -------
    case, Verdict
        The smallest case, perhaps the given one.
    """
    seen, end = {case.key}, time.monotonic() + seconds
    shrinks = True
    while shrinks:
        shrinks = False
        for smaller in case.simpler():
            if smaller.key in seen:
                continue
            if len(seen) > attempts or time.monotonic() > end:
                return case, verdict
            seen.add(smaller.key)
            smaller_verdict = judge(smaller)
            if _causes(smaller_verdict) & _causes(verdict):
                case, verdict, shrinks = smaller, smaller_verdict, True
                break
    return case, verdict


def _causes(verdict: Verdict) -> set[tuple[FindingKind, str]]:
    """Return the kinds of findings; errors of different exceptions are different causes."""
    return {
        (kind, text.split(":")[0] if kind is FindingKind.ERROR else "")
        for kind, text in verdict.findings
    }
