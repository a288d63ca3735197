"""Taylor importance: squared first-order change of the loss without a filter."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from systolith.prune.errors import PruneError
from systolith.prune.filters.budget import FilterBudget
from systolith.prune.filters.gates import gated
from systolith.prune.filters.groups import ChannelGroup, module_gates
from systolith.prune.filters.masks import FilterMasks
from systolith.prune.filters.saliency import Saliency, average_over_rounds
from systolith.prune.filters.selection import check_budget, select_filters
from systolith.prune.training_length import TrainingLength, warn_of_short_training

__all__ = ["TaylorGates", "taylor_scores"]


class TaylorGates:
    """Removes a few filters at a time during training; none returns.

    Every `batches` steps, the filters with the lowest importance of all layers are removed:

    ``I_j = mean over batches of (g_j dL/dg_j)^2``,  with gates ``g_j = 1`` behind batch norms,

    averaged over rounds: ``momentum * old + (1 - momentum) * new``.

    Parameters
    ----------
    groups : iterable of ChannelGroup
        From :func:`systolith.prune.find_channel_groups`.
    budget : FilterBudget
        Budget at which removing ends.
    batches : int
        Steps between rounds.
    per_round : int
        Filters removed in a round, before they are rounded to portions.
    momentum : float
        From 0 to below 1.
    begin : float
        Progress at which removing starts, 0..1.

    Raises
    ------
    PruneError
        If a number is out of range, or the budget cannot be met; all problems are listed.

    Warns
    -----
    UserWarning
        In one of the first steps, or in the first round, if the rounds left in training are too few
        for the budget.

    Notes
    -----
    Molchanov, Mallya, Tyree, Frosio, Kautz: Importance estimation for neural network pruning (CVPR
    2019): first order, on gates.

    **Deviation:** filters tied by additions or depthwise convolutions share a gate and leave
    together.
    """

    def __init__(
        self,
        groups: Iterable[ChannelGroup],
        budget: FilterBudget,
        *,
        batches: int = 30,
        per_round: int = 8,
        momentum: float = 0.9,
        begin: float = 0.0,
    ) -> None:
        problems = []
        if batches < 1:
            problems.append(f"batches must be at least 1, got {batches}")
        if per_round < 1:
            problems.append(f"per_round must be at least 1, got {per_round}")
        if not 0 <= momentum < 1:
            problems.append(f"momentum must be at least 0 and below 1, got {momentum}")
        if not 0 <= begin <= 1:
            problems.append(f"begin must be from 0 to 1, got {begin}")
        PruneError.raise_if_any(problems)
        self._groups, self._budget = tuple(groups), budget
        check_budget(self._groups, budget)
        self._batches, self._per_round = batches, per_round
        self._momentum, self._begin = momentum, begin
        self.settings = {
            "budget": budget,
            "batches": batches,
            "per_round": per_round,
            "momentum": momentum,
            "begin": begin,
        }
        self._saliency = Saliency(self._groups, torch.square)
        self._importance: dict[str, Tensor] = {}
        self._masks: FilterMasks | None = None
        self._removed = 0
        self._done = False
        self._length = TrainingLength()
        self._steps: int | None = None
        self._checked = False

    @contextmanager
    def step(self, model: nn.Module, progress: float) -> Iterator[None]:
        """See :meth:`systolith.prune.Sparsifier.step`."""
        if (steps := self._length.new_estimate(progress)) is not None:
            self._steps = steps
            self.check_steps(steps)
        if not self._done and self._saliency.batches >= self._batches:
            self._importance = self._averaged(model)
            self._saliency.reset()
            if self._steps is not None and not self._checked:
                self._check_length(self._steps, progress)
            if progress >= self._begin:
                self._remove()
        with self._saliency.step(model, learn_on=False, collect=not self._done):
            yield

    def check_steps(self, steps: int) -> None:
        """Warn if a training of this many steps has no round, as its first steps would."""
        if steps <= self._batches:
            self._warn(0, steps)

    def filters(self, model: nn.Module) -> FilterMasks:
        """Masks if training ended now; missing rounds, if any, are made at once.

        Raises
        ------
        PruneError
            If there has been no step.
        """
        if self._masks is not None and self._done:
            return self._masks
        if not self._importance and not self._saliency.batches:
            raise PruneError(
                ["filters are chosen by their importance, which needs a training step"]
            )
        return self._select(self._importance or self._averaged(model), None)

    def state_dict(self) -> dict[str, Any]:
        """Masks, importance, and number of removed filters."""
        return {
            "masks": None if self._masks is None else dict(self._masks),
            "importance": dict(self._importance),
            "saliency": self._saliency.state_dict(),
            "removed": self._removed,
            "done": self._done,
            "length": self._length.state_dict(),
            "steps": self._steps,
            "checked": self._checked,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from such a state, with identical results."""
        self._saliency.load_state_dict(state["saliency"])
        self._importance = dict(state["importance"])
        self._removed, self._done = state["removed"], state["done"]
        self._length.load_state_dict(state["length"])
        self._steps, self._checked = state["steps"], state["checked"]
        masks = state["masks"]
        self._use(None if masks is None else FilterMasks(masks, self._groups))

    def _averaged(self, model: nn.Module) -> dict[str, Tensor]:
        return average_over_rounds(self._importance, self._saliency.mean(model), self._momentum)

    def _check_length(self, steps: int, progress: float) -> None:
        """Compare the filters that have to leave, by the importance so far, with rounds left."""
        self._checked = True
        left = round(steps * (1 - max(progress, self._begin)))
        rounds = 1 + (left - 1) // self._batches
        masks = self._select(self._importance, None)
        missing = sum(int((~mask).sum()) for mask in masks.values()) - self._removed
        if rounds * self._per_round < missing:
            self._warn(rounds, steps, missing)

    def _warn(self, rounds: int, steps: int, missing: int | None = None) -> None:
        self._checked = True
        filters = "all filters that exceed" if missing is None else f"{missing} filters to meet"
        warn_of_short_training(
            "pruning by Taylor gates",
            f"rounds to remove {filters} the budget",
            f"{rounds} of {self._per_round} filters in {steps} steps with batches={self._batches}; "
            "the rest leaves at once at the end",
        )

    def _remove(self) -> None:
        self._removed += self._per_round
        self._use(self._select(self._importance, self._removed))
        assert self._masks is not None
        self._done = self._budget.is_met(self._masks)

    def _select(self, importance: Mapping[str, Tensor], limit: int | None) -> FilterMasks:
        # Removed filters get the lowest score of all, so they never return.
        left: Mapping[str, Tensor] = self._masks or {}
        scores = {
            name: score.masked_fill(~left[name], -torch.inf) if name in left else score
            for name, score in importance.items()
        }
        return select_filters(self._groups, scores, self._budget, limit=limit)

    def _use(self, masks: FilterMasks | None) -> None:
        self._masks = masks
        self._saliency.set_masks(masks)


def taylor_scores(
    model: nn.Module,
    groups: Iterable[ChannelGroup],
    batches: Iterable[tuple[Tensor, Tensor]],
    loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
) -> dict[str, Tensor]:
    """Importance of each filter of a network as it is: mean over batches of ``(dL/dg)^2``.

    Parameters
    ----------
    model : nn.Module
        It runs in its current mode; parameters and gradients are not changed. In training mode,
        batch norms update their statistics.
    groups : iterable of ChannelGroup
        Removable groups are scored.
    batches : iterable of (Tensor, Tensor)
        Images and labels.
    loss : callable
        Function from logits and labels to a scalar.

    Returns
    -------
    dict of str to Tensor, shape (size,)
        By group name.

    Raises
    ------
    PruneError
        If there are no batches.

    Notes
    -----
    As :class:`TaylorGates`.
    """
    removable = [group for group in groups if group.removable]
    device = next(model.parameters()).device
    gates = {
        group.name: torch.ones(group.size, device=device, requires_grad=True) for group in removable
    }
    sums = {name: torch.zeros_like(gate, requires_grad=False) for name, gate in gates.items()}
    number = 0
    for images, labels in batches:
        with gated(model, module_gates(removable, gates)):
            value = loss(model(images.to(device)), labels.to(device))
        gradients = torch.autograd.grad(value, list(gates.values()))
        for name, gradient in zip(gates, gradients, strict=True):
            sums[name] += gradient.square()
        number += 1
    if not number:
        raise PruneError(["importance needs at least one batch, got none"])
    return {name: total / number for name, total in sums.items()}
