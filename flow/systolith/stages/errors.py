"""The error of a command that cannot be carried out as given."""

__all__ = ["UsageError"]


class UsageError(ValueError):
    """An argument that is wrong, or that does not fit the others."""
