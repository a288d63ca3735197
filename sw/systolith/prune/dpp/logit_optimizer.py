"""The optimizer of mask logits, which move as far in a long training as in a short one."""

from collections.abc import Iterable, Iterator, Mapping
from math import inf
from typing import Any

from torch import nn

from systolith.prune.dpp.mask_logits import Annealing
from systolith.prune.sparsifier_optimizer import SparsifierOptimizer
from systolith.prune.training_length import TrainingLength

__all__ = ["TRAVEL", "LogitOptimizer"]

TRAVEL = 6.0
"""Default: several times the distances between initial logits, whose deviation is 0.5."""


class LogitOptimizer:
    """Adam for mask logits, which move as far in a long training as in a short one.

    A logit whose gradient keeps its sign moves by `travel` during the whole training. With a fixed
    step, logits would hardly move in a short training, and change places all the time in a long
    one. The step falls linearly to 0 at the end of drawing:

    ``step = travel * 2 (1 - t) / N,  t = progress / draw_until,  N = steps with drawing``

    N follows from the first change of `progress`; until then logits rest.

    Parameters
    ----------
    logits : iterable of nn.Parameter
        May be empty.
    annealing : Annealing
        Says when drawing ends.
    travel : float
        In units of the logits, positive.
    """

    def __init__(
        self, logits: Iterable[nn.Parameter], annealing: Annealing, *, travel: float
    ) -> None:
        self._optimizer = SparsifierOptimizer(logits, learning_rate=travel)
        self._annealing = annealing
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
        self._optimizer.zero_grad_()

    def step_(self, progress: float) -> None:
        """Move the logits that have gradients, after the backward pass."""
        if self._steps is not None and self._annealing.draws_at(progress):
            drawing = max(self._steps * self._annealing.draw_until, 1.0)
            self._optimizer.step_(2 * self._annealing.relative_rate_at(progress) / drawing)

    def state_dict(self) -> dict[str, Any]:
        """Return the optimizer's state, without the logits, and the number of steps."""
        return {
            "optimizer": self._optimizer.state_dict(),
            "length": self._length.state_dict(),
            "steps": self._steps,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Resume from such a state, with identical results."""
        self._optimizer.load_state_dict(state["optimizer"])
        self._length.load_state_dict(state["length"])
        self._steps = state["steps"]
