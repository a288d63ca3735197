"""The error that a refused model or configuration raises."""

from systolith.foundation import ProblemsError, listed

__all__ = ["ConversionError"]


class ConversionError(ProblemsError, ValueError):
    """A model or a configuration that cannot become an integer network, with every reason.

    Attributes
    ----------
    problems : tuple of str
        Each names the layer or key, what is wrong, and the nearest thing that is supported.
    """

    def __str__(self) -> str:
        count = len(self.problems)
        return listed(f"{count} problem{'s' if count > 1 else ''}", self.problems)
