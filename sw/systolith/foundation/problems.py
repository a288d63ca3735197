"""Errors that name every problem of an input at once."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import ClassVar

__all__ = ["MissingError", "ProblemCollector", "ProblemsError", "UsageError", "listed"]


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

    A single problem is the whole message; several follow a heading that counts them. With a
    subject, the message starts with it instead.

    Parameters
    ----------
    problems : iterable of str
        Each names what is wrong, the requirement and what was given.
    subject : str, optional
        What the problems are about, such as ``"data set 'mnist'"``.

    Attributes
    ----------
    problems : tuple of str
    subject : str

    Examples
    --------
    >>> print(ProblemsError(["stride must be at least 1, got 0", "padding must be 4 integers"]))
    2 problems:
      - stride must be at least 1, got 0
      - padding must be 4 integers
    """

    problems: Sequence[str]

    def __init__(self, problems: Iterable[str], subject: str = "") -> None:
        self.problems, self.subject = tuple(problems), subject
        super().__init__(self.problems, *([subject] if subject else []))

    def __str__(self) -> str:
        if len(self.problems) == 1:
            return f"{self.subject}: {self.problems[0]}" if self.subject else self.problems[0]
        return listed(self.subject or f"{len(self.problems)} problems", self.problems)

    @classmethod
    def raise_if_any(cls, problems: Iterable[str]) -> None:
        """Raise one error with all `problems`, or return if there are none."""
        if collected := tuple(problems):
            raise cls(collected)


class UsageError(ProblemsError, ValueError):
    """An argument or option that is wrong, or that contradicts another one.

    Parameters
    ----------
    problems : str or iterable of str
    """

    def __init__(self, problems: str | Iterable[str]) -> None:
        super().__init__([problems] if isinstance(problems, str) else problems)


class ProblemCollector:
    """Collects the errors of several checks, to raise them together.

    Attributes
    ----------
    errors : list of ProblemsError

    Examples
    --------
    >>> collector = ProblemCollector()
    >>> for text in ("seed must be at least 0, got -1", "there is no layer 'conv9'"):
    ...     with collector.collect():
    ...         raise UsageError(text)
    >>> collector.raise_if_any()
    Traceback (most recent call last):
        ...
    systolith.foundation.problems.UsageError: 2 problems:
      - seed must be at least 0, got -1
      - there is no layer 'conv9'
    """

    def __init__(self) -> None:
        self.errors: list[ProblemsError] = []

    @contextmanager
    def collect(self) -> Iterator[None]:
        """Keep a :class:`ProblemsError` that the block raises; other errors pass."""
        try:
            yield
        except ProblemsError as error:
            self.errors.append(error)

    def raise_if_any(self) -> None:
        """Raise the error if there is one, or a :class:`UsageError` with the problems of all."""
        if len(self.errors) == 1:
            raise self.errors[0]
        if self.errors:
            problems = (
                f"{error.subject}: {text}" if error.subject else text
                for error in self.errors
                for text in error.problems
            )
            raise UsageError(dict.fromkeys(problems)) from self.errors[0]


class MissingError(ProblemsError):
    """Things that the work needs and this machine lacks; base class.

    Parameters
    ----------
    missing : sequence of str
        Each thing with the command that installs it.

    Attributes
    ----------
    missing : tuple of str
    problems : tuple of str
        One sentence per thing, which begins with :attr:`PREFIX`.
    """

    PREFIX: ClassVar[str]
    """Start of the sentence about one missing thing."""
    HEADING: ClassVar[str]
    """Heading of the list of all."""

    def __init__(self, missing: Sequence[str]) -> None:
        self.missing = tuple(missing)
        super().__init__(f"{self.PREFIX} {thing}" for thing in self.missing)
        self.args = (self.missing,)

    def __str__(self) -> str:
        return listed(self.HEADING, self.missing)
