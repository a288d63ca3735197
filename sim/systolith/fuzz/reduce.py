"""From a case that fails to one with less in it that fails in the same way, part by part."""

import time
from collections.abc import Callable, Iterator
from typing import Protocol, Self, TypeVar

from systolith.fuzz.verdict import Kind, Verdict

__all__ = ["Reducible", "reduced"]


class Reducible(Protocol):
    """A case that knows smaller ones."""

    @property
    def key(self) -> str:
        """Hash of all that the case is."""

    def simpler(self) -> Iterator[Self]:
        """List cases with a little less; those with much less come first."""


C = TypeVar("C", bound=Reducible)


def reduced(
    case: C,
    verdict: Verdict,
    judged: Callable[[C], Verdict],
    *,
    attempts: int,
    seconds: float = 120.0,
) -> tuple[C, Verdict]:
    """Take parts away as long as what is left has a finding of the same kind.

    Parameters
    ----------
    case, verdict : case, Verdict
        The one that fails.
    judged : callable
        Judges a case; one that cannot run has no findings.
    attempts : int
        Cases to judge at most.
    seconds : float
        After which no further one is judged.

    Returns
    -------
    case, Verdict
        The smallest found, perhaps the first.
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
            found = judged(smaller)
            if _alike(found, verdict):
                case, verdict, shrinks = smaller, found, True
                break
    return case, verdict


def _alike(found: Verdict, wanted: Verdict) -> bool:
    """Whether both fail in the same way; of errors, with the same exception."""
    return bool(_ways(found) & _ways(wanted))


def _ways(verdict: Verdict) -> set[tuple[Kind, str]]:
    return {
        (kind, text.split(":")[0] if kind is Kind.ERROR else "") for kind, text in verdict.findings
    }
