"""The optimizer of parameters that a sparsifier trains by itself: mask logits, gates, widths."""

from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from math import inf
from typing import Any

import torch
from torch import nn

from systolith.prune.training_length import TrainingLength

__all__ = ["SparsifierOptimizer"]

EPSILON = 1e-15
"""Far below any gradient: those at logits of a large network are below the usual 1e-8."""


class SparsifierOptimizer:
    """Adam for the parameters of a sparsifier, which travel a given distance.

    Gradients at logits and gates are orders of magnitude smaller than at weights, and a weight
    decay has no meaning for them. Adam divides a gradient by its running root mean square, so a
    parameter whose gradient keeps its sign moves by `travel` during the whole training, whatever
    the optimizer and the learning rate of the weights. With a fixed step, logits would hardly move
    in a short training, and change places all the time in a long one. The step falls linearly:

    ``step = travel * 2 (1 - t) / N,  t = progress / until,  N = steps until then``

    N follows from the first change of `progress`; until then the parameters rest.

    Parameters
    ----------
    parameters : iterable of nn.Parameter
        May be empty.
    travel : float
        In the parameters' own unit; positive and finite.
    until : float
        Progress, 0..1, at which training of these parameters ends.
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], *, travel: float, until: float = 1.0
    ) -> None:
        given = list(parameters)
        self._travel, self._until = travel, until
        self._adam = torch.optim.Adam(given, lr=travel, eps=EPSILON) if given else None
        self._length = TrainingLength()
        self._steps: int | None = None

    @staticmethod
    def problems(travel: float) -> Iterator[str]:
        """Yield what is wrong with a travel."""
        if not 0 < travel < inf:
            yield f"travel must be positive and finite, got {travel}"

    def begin_(self, progress: float) -> None:
        """Forget all gradients, before a training step."""
        if (steps := self._length.new_estimate(progress)) is not None:
            self._steps = steps
        if self._adam is not None:
            self._adam.zero_grad()

    def step_(self, progress: float) -> None:
        """Move the parameters that have gradients, after the backward pass."""
        if self._adam is None or self._steps is None or progress >= self._until:
            return
        steps = max(self._steps * self._until, 1.0)
        for group in self._adam.param_groups:
            group["lr"] = self._travel * 2 * (1 - progress / self._until) / steps
        self._adam.step()

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of the optimizer's state, without the parameters."""
        return {
            "adam": {} if self._adam is None else deepcopy(self._adam.state_dict()),
            "length": self._length.state_dict(),
            "steps": self._steps,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Resume from such a state, with identical results."""
        if self._adam is not None:
            self._adam.load_state_dict(deepcopy(dict(state["adam"])))
        self._length.load_state_dict(state["length"])
        self._steps = state["steps"]
