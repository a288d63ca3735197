"""What can go wrong between host and board."""

__all__ = ["BoardError"]


class BoardError(RuntimeError):
    """A board that does not answer, answers damaged, or is not the one that is wanted."""
