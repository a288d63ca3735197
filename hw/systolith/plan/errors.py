"""The error of a network or array that the engines cannot carry out."""

from collections.abc import Sequence

__all__ = ["PlanError"]


class PlanError(ValueError):
    """A network for which no engine exists, or an array shape that cannot work.

    Attributes
    ----------
    problems : tuple of str
        Every problem found, each naming the layer, the requirement and what was given.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        if len(self.problems) == 1:
            return self.problems[0]
        lines = "".join(f"\n  - {problem}" for problem in self.problems)
        return f"{len(self.problems)} problems:{lines}"
