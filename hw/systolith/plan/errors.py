"""The error of designs that cannot be planned."""

from systolith.foundation import ProblemsError

__all__ = ["PlanError"]


class PlanError(ProblemsError, ValueError):
    """A network that no engine computes, an invalid array, or a budget that is too small."""
