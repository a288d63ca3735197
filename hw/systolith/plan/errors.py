"""The error of a network or array that the engines cannot carry out."""

from systolith.network import NetworkError

__all__ = ["PlanError"]


class PlanError(NetworkError):
    """A network for which no engine exists, or an array shape that cannot work; all problems."""
