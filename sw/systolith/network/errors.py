"""The error that a wrong network raises: every problem at once."""

from collections.abc import Iterable

__all__ = ["NetworkError", "raise_if_any"]


class NetworkError(ValueError):
    """A network, layer, pattern, image or file that breaks the contract.

    Attributes
    ----------
    problems : tuple of str
        Every problem found, each naming what, the requirement and what was given.

    Examples
    --------
    >>> print(NetworkError(["stride must be at least 1, got 0", "padding must be 4 integers"]))
    2 problems:
      - stride must be at least 1, got 0
      - padding must be 4 integers
    """

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        if len(self.problems) == 1:
            return self.problems[0]
        lines = "".join(f"\n  - {problem}" for problem in self.problems)
        return f"{len(self.problems)} problems:{lines}"


def raise_if_any(problems: Iterable[str]) -> None:
    """Raise one :class:`NetworkError` with all of `problems`, or return if there are none."""
    found = tuple(problems)
    if found:
        raise NetworkError(found)
