"""What the backend says when it refuses something."""

from collections.abc import Iterable

__all__ = ["ConversionError", "raise_if_any"]


class ConversionError(ValueError):
    """A model or a configuration that cannot become an integer network, with every reason.

    Attributes
    ----------
    problems : tuple of str
        Each names the layer or key, what is wrong, and the nearest thing that is supported.
    """

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        count = len(self.problems)
        lines = "".join(f"\n  - {problem}" for problem in self.problems)
        return f"{count} problem{'s' if count > 1 else ''}:{lines}"


def raise_if_any(problems: Iterable[str]) -> None:
    """Raise one :class:`ConversionError` with all of `problems`, or return if there are none."""
    if found := tuple(problems):
        raise ConversionError(found)
