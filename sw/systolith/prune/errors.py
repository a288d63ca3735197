"""The error that an impossible pruning raises: every problem at once."""

from systolith.network import NetworkError

__all__ = ["PruneError"]


class PruneError(NetworkError):
    """Patterns, rules or masks that do not fit the model they are meant for."""
