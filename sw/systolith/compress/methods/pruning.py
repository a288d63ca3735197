"""What the configurations of all pruning methods share."""

from dataclasses import dataclass
from typing import ClassVar

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
    """

    method: ClassVar[str]
    """Name in messages and in names of checkpoints."""
    epochs: int | None = None
    finetune_epochs: int = 0
    learning_rate: float | None = None


@dataclass(frozen=True, kw_only=True)
class SearchPruning(Pruning):
    """Evaluate masks by forward passes.

    Parameters
    ----------
    images : int
        Training images that are held out to evaluate masks.
    """

    images: int = 1000
