"""Sparse training that chooses filters."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

from torch import nn

from systolith.prune.filters.gates import gated_channels
from systolith.prune.filters.masks import FilterMasks
from systolith.prune.sparsifier import Sparsifier

__all__ = ["FilterSparsifier", "FrozenFilters"]


@runtime_checkable
class FilterSparsifier(Sparsifier, Protocol):
    """Sparse training whose result is masks of filters.

    Inside a step, gates on activations silence masked filters; weights are not changed.
    """

    def filters(self, model: nn.Module) -> FilterMasks:
        """Masks if training ended now."""
        ...


class FrozenFilters:
    """Fixed masks: removed filters neither compute nor learn."""

    def __init__(self, masks: FilterMasks) -> None:
        self._masks = masks
        self.settings = {"masks": masks}

    @contextmanager
    def step(self, model: nn.Module, progress: float) -> Iterator[None]:
        """See :meth:`Sparsifier.step`. Removed filters get no gradient."""
        with gated_channels(model, self._masks.groups, self._masks):
            yield

    def state_dict(self) -> dict[str, Any]:
        """Nothing: the masks are given."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Nothing to load."""

    def filters(self, model: nn.Module) -> FilterMasks:
        """The given masks."""
        return self._masks
