"""Global & dynamic filter pruning: one ranking over all layers; masked filters may return."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from systolith.prune.errors import PruneError
from systolith.prune.filters.groups import ChannelGroup
from systolith.prune.filters.masks import FilterMasks
from systolith.prune.filters.saliency import Saliency
from systolith.prune.filters.selection import FilterBudget, check_budget, select_filters, unit_costs

__all__ = ["GDP"]


class GDP:
    """Masks filters, trains all of them, and chooses the masked ones again at intervals.

    Every `interval` steps, filters of all layers are sorted by their mean saliency

    ``theta_j = mean over batches of |dL/dm_j|,  dL/dm_j = sum_r dL/dW_jr W_jr``

    and the lowest are masked until the budget is met. The gradient passes straight through the
    masks, so a masked filter continues to learn, has a saliency, and may return.

    Parameters
    ----------
    groups : iterable of ChannelGroup
        From :func:`systolith.prune.find_channel_groups`.
    budget : FilterBudget
        Budget of the final masks.
    interval : int
        Steps between updates of the masks.
    begin : float
        Progress at which pruning starts, 0..1.
    ramp_until : float
        Progress at which the kept share reaches its final value; it falls fast at first:
        ``keep + (1 - keep) (1 - t)^3``. A value up to `begin` means that it falls at once.
    freeze_at : float
        The first update at or after this progress is the last; fine-tuning follows.
    per_cost : bool
        Sort by saliency divided by the cost of a filter in the budget.

    Raises
    ------
    PruneError
        If a number is out of range, or the budget cannot be met; all problems are listed.

    Notes
    -----
    Lin, Ji, Li, Wu, Huang, Zhang: Accelerating convolutional networks via global & dynamic filter
    pruning (IJCAI 2018).

    **Deviation:** behind a batch norm, the saliency is that of a gate: see
    :class:`systolith.prune.filters.saliency.GateGradients`. With the weights of the convolution, as
    above, it would always be zero.

    **Deviation:** filters tied by additions or depthwise convolutions are masked together; their
    derivatives are added before the absolute value is taken.

    **Deviation:** saliency is collected in all steps since the last update, from the gradients of
    training, instead of in a separate pass over 100 batches.

    **Deviation:** budgets other than a share of the filters, a floor for each group, portions, a
    gradual start, and saliency per cost.
    """

    def __init__(
        self,
        groups: Iterable[ChannelGroup],
        budget: FilterBudget,
        *,
        interval: int = 100,
        begin: float = 0.1,
        ramp_until: float = 0.0,
        freeze_at: float = 0.7,
        per_cost: bool = False,
    ) -> None:
        problems = []
        if interval < 1:
            problems.append(f"interval must be at least 1, got {interval}")
        if not 0 <= begin <= freeze_at <= 1:
            problems.append(
                f"GDP needs 0 <= begin <= freeze_at <= 1, got begin={begin}, freeze_at={freeze_at}"
            )
        if not 0 <= ramp_until <= freeze_at:
            problems.append(f"ramp_until must be at most freeze_at ({freeze_at}), got {ramp_until}")
        if per_cost and budget.cost is None:
            problems.append("saliency per cost needs a budget with a cost")
        PruneError.raise_if_any(problems)
        self._groups, self._budget = tuple(groups), budget
        check_budget(self._groups, budget)
        self._interval, self._begin = interval, begin
        self._ramp_until, self._freeze_at = ramp_until, freeze_at
        self._unit_costs = (
            unit_costs(self._groups, budget.cost) if per_cost and budget.cost is not None else {}
        )
        self._saliency = Saliency(self._groups, torch.abs)
        self._masks: FilterMasks | None = None
        self._keep = 1.0
        self._frozen = False

    @contextmanager
    def step(self, model: nn.Module, progress: float) -> Iterator[None]:
        """See :meth:`systolith.prune.Sparsifier.step`."""
        if not self._frozen and self._saliency.batches >= self._interval:
            if progress >= self._begin:
                self._update(model, progress)
            self._saliency.reset()
        learning = not self._frozen
        with self._saliency.step(model, learn_on=learning, collect=learning):
            yield

    def filters(self, model: nn.Module) -> FilterMasks:
        """Masks if training ended now: those in use, or new ones if they exceed the budget.

        Raises
        ------
        PruneError
            If there has been no step.
        """
        if self._masks is not None and self._keep == self._budget.keep:
            return self._masks
        if not self._saliency.batches:
            raise PruneError(["filters are chosen by their saliency, which needs a training step"])
        return self._select(model, self._budget.keep)

    def state_dict(self) -> dict[str, Any]:
        """Masks, saliency, and how far pruning went."""
        masks = None if self._masks is None else dict(self._masks)
        saliency = self._saliency.state_dict()
        return {"masks": masks, "saliency": saliency, "keep": self._keep, "frozen": self._frozen}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from such a state, with identical results."""
        self._saliency.load_state_dict(state["saliency"])
        self._keep, self._frozen = state["keep"], state["frozen"]
        masks = state["masks"]
        self._use(None if masks is None else FilterMasks(masks, self._groups))

    def _update(self, model: nn.Module, progress: float) -> None:
        self._keep = self._keep_at(progress)
        self._use(self._select(model, self._keep))
        self._frozen = progress >= self._freeze_at

    def _use(self, masks: FilterMasks | None) -> None:
        self._masks = masks
        self._saliency.set_masks(masks)

    def _select(self, model: nn.Module, keep: float) -> FilterMasks:
        scores = self._saliency.mean(model)
        return select_filters(
            self._groups,
            {name: self._worth(name, score) for name, score in scores.items()},
            replace(self._budget, keep=keep),
        )

    def _worth(self, name: str, score: Tensor) -> Tensor:
        return score.double() / (self._unit_costs.get(name) or 1.0)

    def _keep_at(self, progress: float) -> float:
        if progress >= self._ramp_until:
            return self._budget.keep
        t = (progress - self._begin) / (self._ramp_until - self._begin)
        return self._budget.keep + (1 - self._budget.keep) * (1 - t) ** 3
