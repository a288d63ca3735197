"""The error that a wrong network raises: every problem at once."""

from systolith.foundation import ProblemsError

__all__ = ["NetworkError"]


class NetworkError(ProblemsError, ValueError):
    """A network, layer, pattern, image or file that breaks the contract.

    Attributes
    ----------
    problems : tuple of str
        Every problem found, each naming what, the requirement and what was given.
    """
