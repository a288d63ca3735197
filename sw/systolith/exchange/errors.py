"""The error that a file or network raises which cannot be exchanged: every problem at once."""

from systolith.network import NetworkError

__all__ = ["ExchangeError"]


class ExchangeError(NetworkError):
    """A model file that cannot become an integer network, or a network that cannot become a file.

    Attributes
    ----------
    problems : tuple of str
        Every problem found, each naming the node, the requirement and the nearest rewrite.
    """
