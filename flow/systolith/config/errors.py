"""The error of a wrong experiment file."""

from collections.abc import Sequence
from pathlib import Path

from systolith.foundation import ProblemsError, listed

__all__ = ["ConfigError"]


class ConfigError(ProblemsError, ValueError):
    """An experiment file with mistakes.

    Attributes
    ----------
    path : Path
        The file.
    problems : tuple of str
        Every mistake, each naming the key, the requirement and what was given.
    """

    def __init__(self, path: Path, problems: Sequence[str]) -> None:
        super().__init__(problems)
        self.path = path
        self.args = (path, self.problems)

    def __str__(self) -> str:
        count = len(self.problems)
        return listed(f"{self.path}: {count} mistake{'s' * (count > 1)}", self.problems)
