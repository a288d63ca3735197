"""The error that a file or network raises which cannot be exchanged: every problem at once."""

from collections.abc import Iterable

from systolith.network import NetworkError

__all__ = ["ExchangeError", "NodeError"]


class ExchangeError(NetworkError):
    """A model file that cannot become an integer network, or a network that cannot become a file.

    Attributes
    ----------
    problems : tuple of str
        Every problem found, each naming the node, the requirement and the nearest rewrite.
    """


class NodeError(ExchangeError):
    """What is wrong with another node than the one that is read.

    Attributes
    ----------
    node : str
        In words, as problems begin.
    """

    def __init__(self, node: str, problems: Iterable[str]) -> None:
        super().__init__(problems)
        self.node = node
