"""Errors that are told together."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain

from systolith.bench import MissingToolError
from systolith.devices import MissingProgramError
from systolith.network import IntegerNetwork, NetworkError
from systolith.plan import PlanError
from systolith.stages.errors import UsageError

__all__ = ["Judge", "Problems"]

FORESEEN = (MissingProgramError, MissingToolError, NetworkError, PlanError, UsageError)

Judge = Callable[[IntegerNetwork, bool], None]
"""Called with a network, and whether it will change in shape or pattern. Raises PlanError if there
can be no engines for it."""


class Problems:
    """Errors that were found, to be told together."""

    def __init__(self) -> None:
        self.errors: list[Exception] = []

    @contextmanager
    def collected(self) -> Iterator[None]:
        """Keep an error of the block, if it is one that the user can mend."""
        try:
            yield
        except FORESEEN as error:
            self.errors.append(error)

    def raise_if_any(self) -> None:
        """Raise the error that was found, or one with all of them."""
        if len(self.errors) == 1:
            raise self.errors[0]
        if self.errors:
            raise UsageError(_listed(self.errors)) from self.errors[0]


def _listed(errors: Sequence[Exception]) -> str:
    told = (getattr(error, "problems", None) or [str(error)] for error in errors)
    found = list(dict.fromkeys(chain.from_iterable(told)))
    return f"{len(found)} problems:" + "".join(f"\n  - {problem}" for problem in found)
