"""ADMM weight pruning: weights are pulled towards the pattern, then cut to it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import inf
from typing import Any

import torch
from torch import Tensor, nn

from systolith.network import Pattern
from systolith.prune.errors import PruneError
from systolith.prune.filters_first import as_stored, filter_weights, owner_of
from systolith.prune.masks import MaskSet
from systolith.prune.rules import check_patterns, prunable_layers
from systolith.prune.sparsify.frozen_masks import FrozenMasks
from systolith.prune.topk import topk_mask
from systolith.prune.training_length import TrainingLength, warn_of_short_training

__all__ = ["ADMM"]

RHO = 0.1
PRUNE_AT = 0.4
PROJECTIONS = 12
"""In a training whose number of steps is known."""
FEWEST_PROJECTIONS = 5
"""With fewer of them, weights are cut before they are near the pattern."""


class ADMM:
    """Alternating direction method of multipliers: pruning as a constraint on dense training.

    The weights W stay dense until `prune_at`. They have a copy Z that conforms to the pattern, at
    first ``P(W)``, and dual variables U, at first 0. In every `interval`-th step::

        Z = P(W + U)
        U = U + W - Z

    where P is the projection onto the pattern: it keeps the decisions of largest squared norm. The
    loss grows by ``rho / 2 |W - Z + U|^2``, whose gradient pulls W towards Z. At `prune_at`, the
    masks become those of the greatest weights, and the rest of the training fine-tunes them.

    Parameters
    ----------
    model : nn.Module
    patterns : mapping of str to Pattern
        By layer name. Frozen weights are pruned by magnitude at the end.
    rho : float
        Strength of the pull, positive.
    interval : int
        Steps between projections, at least 1; the paper's are some epochs.
    prune_at : float
        Progress, 0..1, at which the weights are cut to the pattern.

    Raises
    ------
    PruneError
        If a pattern does not fit its layer, or a number is out of range; all problems are listed.

    Warns
    -----
    UserWarning
        In the second step, if the training is too short for five projections until `prune_at`.

    Notes
    -----
    Zhang, Ye, Zhang, Tang, Wen, Fardad, Wang: A systematic DNN weight pruning framework using
    alternating direction method of multipliers (ECCV 2018), section 3.

    On digits (1-of-16, 12 epochs, 3 seeds), its test loss is 0.104 under AdamW, between SR-STE with
    0.082 and frozen magnitude with 0.118. Under SGD 0.05 it does not beat frozen magnitude: 0.050,
    and that 0.041.

    **Deviation:** exact patterns instead of a number of weights per layer; one training instead of
    several with growing rho.
    """

    def __init__(
        self,
        model: nn.Module,
        patterns: Mapping[str, Pattern],
        *,
        rho: float = RHO,
        interval: int = 20,
        prune_at: float = PRUNE_AT,
    ) -> None:
        problems = []
        if not 0 < rho < inf:
            problems.append(f"rho must be positive and finite, got {rho}")
        if interval < 1:
            problems.append(f"interval must be at least 1, got {interval}")
        if not 0 <= prune_at <= 1:
            problems.append(f"prune_at must lie in 0..1, got {prune_at}")
        if problems:
            raise PruneError(problems)
        layers = prunable_layers(model)
        self._patterns = {
            f"{name}.weight": p for name, p in check_patterns(model, patterns).items()
        }
        self._rho, self._interval, self._prune_at = rho, interval, prune_at
        self.settings = {
            "patterns": dict(patterns),
            "rho": rho,
            "interval": interval,
            "prune_at": prune_at,
        }
        self._duals = {
            f"{name}.weight": torch.zeros_like(filter_weights(layers[name]))
            for name in patterns
            if layers[name].weight.requires_grad
        }
        self._targets: dict[str, Tensor] = {}
        self._final: MaskSet | None = None
        self._steps = 0
        self._length = TrainingLength()

    @classmethod
    def for_training(
        cls, model: nn.Module, patterns: Mapping[str, Pattern], *, steps: int, rho: float = RHO
    ) -> "ADMM":
        """Choose the interval for twelve projections until `prune_at`.

        Warns at once if the training is too short for five.

        Parameters
        ----------
        model, patterns, rho
            See the class.
        steps : int
            Optimizer steps of the training.
        """
        interval = max(int(steps * PRUNE_AT) // PROJECTIONS, 1)
        made = cls(model, patterns, rho=rho, interval=interval)
        if steps:
            made._check_length(steps)
        made._length = TrainingLength(known=True)
        return made

    @contextmanager
    def step(self, model: nn.Module, progress: float) -> Iterator[None]:
        """See :meth:`systolith.prune.Sparsifier.step`. The model is dense until `prune_at`."""
        if (steps := self._length.new_estimate(progress)) is not None:
            self._check_length(steps)
        if progress >= self._prune_at or self._final is not None:
            if self._final is None:
                self._final = self.masks(model)
            with FrozenMasks(self._final).step(model, progress):
                yield
            return
        if self._steps % self._interval == 0:
            self._project(model)
        self._steps += 1
        yield
        for name, dual in self._duals.items():
            weight = model.get_parameter(name)
            if weight.grad is not None:
                away = as_stored(dual - self._targets[name], owner_of(model, name))
                weight.grad.add_(weight.detach() + away, alpha=self._rho)

    def masks(self, model: nn.Module) -> MaskSet:
        """Return the masks of the greatest weights; from `prune_at` on they are fixed."""
        if self._final is not None:
            return self._final
        masks = {
            name: topk_mask(filter_weights(owner_of(model, name)).square(), pattern)
            for name, pattern in self._patterns.items()
        }
        return MaskSet.unchecked(masks, self._patterns)

    def state_dict(self) -> dict[str, Any]:
        """Return projections, dual variables, final masks and steps."""
        final = {} if self._final is None else dict(self._final)
        return {
            "targets": {name: value.clone() for name, value in self._targets.items()},
            "duals": {name: value.clone() for name, value in self._duals.items()},
            "final": {name: mask.clone() for name, mask in final.items()},
            "steps": self._steps,
            "length": self._length.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Resume from such a state, with identical results."""
        self._targets = {name: value.clone() for name, value in state["targets"].items()}
        self._duals = {name: value.clone() for name, value in state["duals"].items()}
        self._final = None
        if state["final"]:
            self._final = MaskSet.unchecked(state["final"], self._patterns)
        self._steps = state["steps"]
        self._length.load_state_dict(state["length"])

    def _project(self, model: nn.Module) -> None:
        for name, dual in self._duals.items():
            dual += filter_weights(owner_of(model, name))  # W + U
            self._targets[name] = dual * topk_mask(dual.square(), self._patterns[name])
            dual -= self._targets[name]
            if not self._steps:
                dual.zero_()

    def _check_length(self, steps: int) -> None:
        projections = int(steps * self._prune_at / self._interval)
        if projections < FEWEST_PROJECTIONS:
            warn_of_short_training(
                "ADMM",
                f"{FEWEST_PROJECTIONS} projections until prune_at={self._prune_at}",
                f"{projections} in {steps} steps with interval={self._interval}; use a smaller "
                "interval, or train for longer",
            )
