"""The error of an invalid network."""

from systolith.foundation import ProblemsError

__all__ = ["NetworkError"]


class NetworkError(ProblemsError, ValueError):
    """A network, layer, pattern, image or file that breaks the contract.

    Attributes
    ----------
    problems : tuple of str
        Each names the requirement and what was given.
    """
