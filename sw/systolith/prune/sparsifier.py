"""Sparsifiers: how pruning changes one training step."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol, runtime_checkable

from torch import nn

from systolith.prune.masks import MaskSet

__all__ = ["Sparsifier", "WeightSparsifier"]


class Sparsifier(Protocol):
    """Sparse training, one step at a time, in a training loop that is the same for all methods.

    ::

        with sparsifier.step(model, progress):
            loss(model(images), labels).backward()
        optimizer.step()

    Inside the block, the model computes with masked weights, so backward gives the gradients of the
    sparse model. On exit, the method restores the weights for the optimizer and replaces their
    gradients by its own. A method with parameters of its own, such as mask logits, trains them
    there with a :class:`systolith.prune.SparsifierOptimizer`; the loop trains the parameters of the
    model only.
    """

    def step(self, model: nn.Module, progress: float) -> AbstractContextManager[None]:
        """Mask the model during forward and backward; `progress` runs from 0 to 1."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Return the state between steps: tensors, numbers, generator states."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Resume from such a state, with identical results."""
        ...


@runtime_checkable
class WeightSparsifier(Sparsifier, Protocol):
    """Sparse training whose result is masks of weights."""

    def masks(self, model: nn.Module) -> MaskSet:
        """Return the masks to keep after training."""
        ...
