"""The error of a wrong experiment file."""

from collections.abc import Sequence
from pathlib import Path

__all__ = ["ConfigError"]


class ConfigError(ValueError):
    """An experiment file with mistakes.

    Attributes
    ----------
    path : Path
        The file.
    problems : tuple of str
        Every mistake, each naming the key, the requirement and what was given.
    """

    def __init__(self, path: Path, problems: Sequence[str]) -> None:
        self.path = path
        self.problems = tuple(problems)
        super().__init__(path, self.problems)

    def __str__(self) -> str:
        count = len(self.problems)
        lines = "".join(f"\n  - {problem}" for problem in self.problems)
        return f"{self.path}: {count} mistake{'s' * (count > 1)}:{lines}"
