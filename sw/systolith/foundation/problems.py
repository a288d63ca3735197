"""Errors that name every problem of an input at once."""

from collections.abc import Iterable, Sequence

__all__ = ["ProblemsError", "listed"]


def listed(heading: str, problems: Iterable[str]) -> str:
    r"""Format a heading and one bullet per problem.

    Examples
    --------
    >>> print(listed("2 problems", ["stride must be at least 1, got 0", "padding is missing"]))
    2 problems:
      - stride must be at least 1, got 0
      - padding is missing
    """
    return f"{heading}:" + "".join(f"\n  - {problem}" for problem in problems)


class ProblemsError(Exception):
    """An input with one or more problems; base class of every error that lists them.

    A single problem is the whole message; several follow a heading that counts them.

    Parameters
    ----------
    problems : iterable of str
        Each names what is wrong, the requirement and what was given.

    Attributes
    ----------
    problems : tuple of str

    Examples
    --------
    >>> print(ProblemsError(["stride must be at least 1, got 0", "padding must be 4 integers"]))
    2 problems:
      - stride must be at least 1, got 0
      - padding must be 4 integers
    """

    problems: Sequence[str]

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        if len(self.problems) == 1:
            return self.problems[0]
        return listed(f"{len(self.problems)} problems", self.problems)

    @classmethod
    def raise_if_any(cls, problems: Iterable[str]) -> None:
        """Raise one error with all `problems`, or return if there are none."""
        if collected := tuple(problems):
            raise cls(collected)
