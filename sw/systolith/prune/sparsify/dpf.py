"""Dynamic pruning with feedback: masks are recomputed now and then, and errors are fed back."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import nn

from systolith.network import decode_pattern, encode_pattern
from systolith.prune.errors import PruneError
from systolith.prune.masks import MaskSet
from systolith.prune.pruner import Pruner
from systolith.prune.training_length import TrainingLength, warn_of_short_training

__all__ = ["DPF"]

INTERVAL = 16
FEWEST_MASKS = 10
"""With fewer masks in a training, pruning is hardly gradual, and mistakes stay."""


class DPF:
    """Dynamic pruning with feedback: dense weights learn through masks that are kept for a while.

    Forward and backward use ``mask * W``; the mask is computed from the dense W in every
    `interval`-th step and kept in between. The gradient at ``mask * W`` trains the dense weights::

        W <- W - learning_rate * g(mask * W)

    so that a pruned weight, which the masked network has no use for, keeps its value, learns on,
    and returns once it is among the greatest: the error of pruning is fed back.

    It is :class:`SRSTE` without decay, under a schedule of density, with masks that hold still.

    Parameters
    ----------
    pruner : Pruner
        Computes the masks; the paper's is :class:`systolith.prune.ScorePruner` with magnitude and
        :class:`systolith.prune.Cubic`.
    interval : int
        Steps that each mask is kept, at least 1.

    Raises
    ------
    PruneError
        If the interval is out of range.

    Warns
    -----
    UserWarning
        In the second step, if the training is too short for ten masks.

    Notes
    -----
    Lin, Stich, Barba, Dmitriev, Jaggi: Dynamic model pruning with feedback (ICLR 2020), algorithm
    1; interval 16.

    On digits (1-of-16, 12 epochs, 3 seeds), its test loss is 0.107 under AdamW, between SR-STE with
    0.082 and frozen magnitude with 0.118. Under SGD 0.05 it does not beat random masks: 0.056, and
    they 0.052. With kernels, 1-of-16, it is far worse than these: 0.628, and they 0.153.

    **Deviation:** masks of exact patterns, each layer for itself, instead of one ranking over all
    layers. The schedule may end before training does; masks change until the end, as in the paper.
    """

    def __init__(self, pruner: Pruner, *, interval: int = INTERVAL) -> None:
        if interval < 1:
            raise PruneError([f"DPF needs an interval of at least 1, got {interval}"])
        self._pruner, self._interval = pruner, interval
        self.settings = {"pruner": pruner, "interval": interval}
        self._steps = 0
        self._held = MaskSet({}, {})
        self._length = TrainingLength()

    @classmethod
    def for_training(cls, pruner: Pruner, *, steps: int) -> "DPF":
        """Choose the paper's interval of 16, or a shorter one for a training of few steps.

        Warns at once if the training is too short for ten masks.

        Parameters
        ----------
        pruner : Pruner
        steps : int
            Optimizer steps of the training.
        """
        made = cls(pruner, interval=min(INTERVAL, max(steps // FEWEST_MASKS, 1)))
        if steps:
            made._check_length(steps)
        made._length = TrainingLength(known=True)
        return made

    @contextmanager
    def step(self, model: nn.Module, progress: float) -> Iterator[None]:
        """See :meth:`systolith.prune.Sparsifier.step`."""
        if (steps := self._length.new_estimate(progress)) is not None:
            self._check_length(steps)
        if self._steps % self._interval == 0:
            self._held = self._pruner.masks(model, progress)
        self._steps += 1
        with self._held.applied(model):
            yield

    def masks(self, model: nn.Module) -> MaskSet:
        """Return the masks of the dense weights under the final pattern."""
        return self._pruner.masks(model, 1.0)

    def state_dict(self) -> dict[str, Any]:
        """Return steps, and the masks that are held with their patterns."""
        patterns = self._held.patterns
        return {
            "steps": self._steps,
            "masks": {name: mask.clone() for name, mask in self._held.items()},
            "patterns": {name: encode_pattern(pattern) for name, pattern in patterns.items()},
            "length": self._length.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Resume from such a state, with identical results."""
        self._steps = state["steps"]
        patterns = {name: decode_pattern(value) for name, value in state["patterns"].items()}
        self._held = MaskSet.unchecked(state["masks"], patterns)
        self._length.load_state_dict(state["length"])

    def _check_length(self, steps: int) -> None:
        masks = -(-steps // self._interval)
        if masks < FEWEST_MASKS:
            warn_of_short_training(
                "DPF",
                f"{FEWEST_MASKS} masks during training",
                f"{masks} in {steps} steps with interval={self._interval}; use a smaller interval, "
                "or train for longer",
            )
