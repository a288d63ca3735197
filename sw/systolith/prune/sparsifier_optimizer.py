"""The optimizer of parameters that a sparsifier trains by itself: mask logits, gates, widths."""

from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from math import inf
from typing import Any

import torch
from torch import nn

__all__ = ["SparsifierOptimizer"]

EPSILON = 1e-15
"""Far below any gradient: those at logits of a large network are below the usual 1e-8."""


class SparsifierOptimizer:
    """Adam for the parameters of a sparsifier, apart from the optimizer of the model.

    Gradients at logits and gates are orders of magnitude smaller than at weights, and a weight
    decay has no meaning for them. Adam divides a gradient by its running root mean square, so a
    parameter whose gradient keeps its sign moves by about `learning_rate` per step, whatever the
    optimizer and the learning rate of the weights.

    Parameters
    ----------
    parameters : iterable of nn.Parameter
        May be empty.
    learning_rate : float
        Step of a parameter, in its own unit; positive and finite.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], *, learning_rate: float) -> None:
        given = list(parameters)
        self._learning_rate = learning_rate
        self._optimizer = torch.optim.Adam(given, lr=learning_rate, eps=EPSILON) if given else None

    @staticmethod
    def problems(learning_rate: float) -> Iterator[str]:
        """Yield what is wrong with a learning rate."""
        if not 0 < learning_rate < inf:
            yield f"learning_rate must be positive and finite, got {learning_rate}"

    def zero_grad_(self) -> None:
        """Forget all gradients, before a training step."""
        if self._optimizer is not None:
            self._optimizer.zero_grad()

    def step_(self, relative_rate: float = 1.0) -> None:
        """Train the parameters that have gradients, at this share of the learning rate."""
        if self._optimizer is not None:
            for group in self._optimizer.param_groups:
                group["lr"] = self._learning_rate * relative_rate
            self._optimizer.step()

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of the optimizer's state, without the parameters."""
        return {} if self._optimizer is None else deepcopy(self._optimizer.state_dict())

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Resume from such a state, with identical results."""
        if self._optimizer is not None:
            self._optimizer.load_state_dict(deepcopy(dict(state)))
