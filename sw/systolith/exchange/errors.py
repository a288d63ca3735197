"""Errors of files that cannot be imported and of networks that cannot be exported."""

from collections.abc import Iterable

from systolith.network import NetworkError

__all__ = ["ExchangeError", "NodeError"]


class ExchangeError(NetworkError):
    """A model file that cannot become an integer network, or a network that cannot become a file.

    Attributes
    ----------
    problems : tuple of str
        Each names the node, the requirement and the nearest supported rewrite.
    """

    @staticmethod
    def of(problem: str) -> "ExchangeError":
        """Make an error with a single problem."""
        return ExchangeError([problem])


class NodeError(ExchangeError):
    """A problem of another node than the one that is being read.

    Attributes
    ----------
    node : str
        The words that its problems begin with.
    """

    def __init__(self, node: str, problems: Iterable[str]) -> None:
        super().__init__(problems)
        self.node = node
