"""Training with masks that are given."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from systolith.prune.masks import MaskSet

__all__ = ["FrozenMasks"]


class FrozenMasks:
    """Given masks that never change: pruned weights stay zero."""

    def __init__(self, masks: MaskSet) -> None:
        self._masks = masks
        self.settings = {"masks": masks}

    @contextmanager
    def step(self, model: nn.Module, progress: float) -> Iterator[None]:
        """See :meth:`Sparsifier.step`. Pruned weights get no gradient."""
        self._masks.apply_(model)
        yield
        for name, mask in self._masks.as_stored(model).items():
            grad: Tensor | None = model.get_parameter(name).grad
            if grad is not None:
                grad.masked_fill_(~mask, 0.0)

    def state_dict(self) -> dict[str, Any]:
        """Return nothing: the masks are given."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Nothing to load."""

    def masks(self, model: nn.Module) -> MaskSet:
        """Return the given masks."""
        return self._masks
