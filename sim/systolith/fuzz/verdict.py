"""What was found about one case."""

from dataclasses import dataclass
from enum import Enum

__all__ = ["Kind", "Verdict"]


class Kind(Enum):
    """What can be wrong."""

    MISMATCH = "mismatch"
    """A value differs from the reference, or a stream breaks a rule."""
    CYCLES = "cycle error"
    """The cycle model predicts another cycle."""
    ERROR = "error"
    """Something fails that must not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What was found.

    Attributes
    ----------
    findings : tuple of (Kind, str)
        In words; empty if all is as it must be.
    refusals : tuple of str
        Reasons, in words, for which a door does not take the case. That is no finding: a door may
        refuse whatever it says that it refuses.
    """

    findings: tuple[tuple[Kind, str], ...] = ()
    refusals: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    @property
    def kinds(self) -> frozenset[Kind]:
        """What is wrong."""
        return frozenset(kind for kind, _ in self.findings)

    @property
    def outcome(self) -> str:
        """``wrong``, ``refused`` or ``accepted``."""
        if self.findings:
            return "wrong"
        return "refused" if self.refusals else "accepted"
