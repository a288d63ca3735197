"""A running mean over training steps of what the loss says about each filter."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

from torch import Tensor, nn

from systolith.prune.filters.gradients import GateGradients
from systolith.prune.filters.groups import ChannelGroup
from systolith.prune.filters.masks import FilterMasks
from systolith.prune.filters.straight_through import MaskedFilters

__all__ = ["Saliency"]


class Saliency:
    """Puts masks on a model during steps, and collects a function of ``dL/dgate`` of each filter.

    Parameters
    ----------
    groups : sequence of ChannelGroup
    measure : callable
        From derivatives of one batch to what is averaged over batches.
    """

    def __init__(self, groups: Sequence[ChannelGroup], measure: Callable[[Tensor], Tensor]) -> None:
        self._groups, self._measure = tuple(groups), measure
        self._gradients: GateGradients | None = None
        self._masks: FilterMasks | None = None
        self._masked: MaskedFilters | None = None
        self._sum: Tensor | None = None
        self._batches = 0

    @property
    def batches(self) -> int:
        """How many steps the mean is over."""
        return self._batches

    def mean(self, model: nn.Module) -> dict[str, Tensor]:
        """Mean since the last reset, by group name, on the CPU; needs at least one batch."""
        assert self._sum is not None, "there is a sum as soon as there is a batch"
        return self._reader(model).split((self._sum / self._batches).cpu())

    def reset(self) -> None:
        """Forget."""
        self._sum, self._batches = None, 0

    def set_masks(self, masks: FilterMasks | None) -> None:
        """Silence these filters from now on."""
        self._masks, self._masked = masks, None

    @contextmanager
    def step(self, model: nn.Module, *, learn_on: bool, collect: bool) -> Iterator[None]:
        """Silence filters inside, collect afterwards; masked filters may learn on."""
        masked, masks = self._masked, self._masks if self._masks is not None else {}
        if masked is None or masked.model is not model or masked.learn_on != learn_on:
            masked = MaskedFilters(model, self._groups, masks, learn_on=learn_on)
            self._masked = masked
        reader = self._reader(model)
        with masked.applied(), reader.watching() if collect else nullcontext():
            yield
        if collect:
            found = self._measure(reader.read())
            self._sum = found if self._sum is None else self._sum.to(found.device) + found
            self._batches += 1

    def state_dict(self) -> dict[str, Any]:
        """Sum and number of batches; the masks are their owner's to save."""
        return {"sum": self._sum, "batches": self._batches}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from such a state."""
        self._sum, self._batches = state["sum"], state["batches"]

    def _reader(self, model: nn.Module) -> GateGradients:
        if self._gradients is None or self._gradients.model is not model:
            self._gradients = GateGradients(model, self._groups)
        return self._gradients
