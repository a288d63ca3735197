"""What the configurations of all pruning methods share."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from types import UnionType
from typing import Any, ClassVar, Union, get_args, get_origin, get_type_hints

from systolith.foundation import kind_problems
from systolith.prune import PruneError

__all__ = ["Pruning", "SearchPruning"]


@dataclass(frozen=True, kw_only=True)
class Pruning:
    """What every pruning method has.

    Parameters
    ----------
    epochs : int, optional
        Epochs of training while pruning; by default the recipe's.
    finetune_epochs : int
        Epochs of training afterwards, with masks fixed.
    learning_rate : float, optional
        Highest learning rate of both; by default the recipe's for pruning.

    Raises
    ------
    PruneError
        If an argument has a wrong type or is out of range.
    """

    method: ClassVar[str]
    """Name in messages and in names of checkpoints."""
    epochs: int | None = None
    finetune_epochs: int = 0
    learning_rate: float | None = None

    def __post_init__(self) -> None:
        annotations = get_type_hints(type(self))
        PruneError.raise_if_any(
            problem
            for field in fields(self)
            for problem in kind_problems(
                f"{field.name} of {type(self).__name__}",
                getattr(self, field.name),
                *_list_kinds(annotations[field.name]),
            )
        )

    def _check_at_least(self, least: int, *names: str) -> None:
        """Refuse arguments below a number; None is none."""
        values = {name: getattr(self, name) for name in names}
        PruneError.raise_if_any(
            f"{name} of {type(self).__name__} must be at least {least}, got {value}"
            for name, value in values.items()
            if value is not None and not value >= least  # NaN is not, either
        )


@dataclass(frozen=True, kw_only=True)
class SearchPruning(Pruning):
    """Evaluate masks by forward passes.

    Parameters
    ----------
    images : int
        Training images that are held out to evaluate masks.
    """

    images: int = 1000

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_at_least(1, "images")


def _list_kinds(annotation: Any) -> Iterator[type]:
    """Yield the types that an annotation allows, without those of their entries."""
    if get_origin(annotation) in (Union, UnionType):
        for part in get_args(annotation):
            yield from _list_kinds(part)
    else:
        yield get_origin(annotation) or annotation
