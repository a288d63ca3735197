"""Global & dynamic filter pruning: one ranking over all layers; masked filters may return."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from systolith.prune.errors import PruneError
from systolith.prune.filters.budget import FilterBudget
from systolith.prune.filters.groups import ChannelGroup
from systolith.prune.filters.masks import FilterMasks
from systolith.prune.filters.saliency import Saliency, average_over_rounds
from systolith.prune.filters.selection import (
    check_budget,
    divide_by_costs,
    select_filters,
    unit_costs,
)
from systolith.prune.training_length import TrainingLength, warn_of_short_training

__all__ = ["GDP"]

FEWEST_UPDATES = 3
"""With fewer updates before masks freeze, pruning is hardly gradual, and a mistake stays."""


class GDP:
    """Masks filters, trains all of them, and chooses the masked ones again at intervals.

    Every `interval` steps, filters of all layers are sorted by their mean saliency

    ``theta_j = mean over batches of |dL/dm_j|,  dL/dm_j = sum_r dL/dW_jr W_jr``

    and the lowest are masked until the budget is met. The last `batches` steps of an interval
    measure the saliency without masks, so it is that of the current weights: a masked filter is
    judged like a kept one. Otherwise the network is masked, and the gradient passes straight
    through the masks: a masked filter continues to learn, and may return.

    Parameters
    ----------
    groups : iterable of ChannelGroup
        From :func:`systolith.prune.find_channel_groups`.
    budget : FilterBudget
        Budget of the final masks.
    interval : int
        Steps between updates of the masks; at least 1.
    batches : int, optional
        Steps of each interval that measure the saliency; 1..interval. Default: a quarter, rounded
        up.
    begin : float
        Progress at which pruning starts, 0..1. Before, nothing is masked.
    ramp_until : float
        Progress at which the kept share reaches its final value; it falls fast at first:
        ``keep + (1 - keep) (1 - t)^3``, and so do ratios of single groups. A value up to `begin`
        means that it falls at once.
    freeze_at : float
        The first update at or after this progress is the last; fine-tuning follows.
    per_cost : bool, optional
        Sort by saliency divided by the cost of a filter, :func:`systolith.prune.unit_costs` of the
        unmasked network. Default: if the budget has a cost.
    momentum : float
        Saliency is averaged over updates, ``momentum * old + (1 - momentum) * new``; from 0 to
        below 1.
    hysteresis : float
        A masked filter returns if its saliency is above ``1 + hysteresis`` times that of the filter
        that it replaces; at least 0.

    Attributes
    ----------
    changes : list of int
        Filters that an update masked or brought back, by update. They fall over training.

    Raises
    ------
    PruneError
        If a number is out of range, or the budget cannot be met; all problems are listed.

    Warns
    -----
    UserWarning
        In one of the first steps, if training is too short for three updates.

    Notes
    -----
    Lin, Ji, Li, Wu, Huang, Zhang: Accelerating convolutional networks via global & dynamic filter
    pruning (IJCAI 2018).

    Batch norms normalize the batches of a measurement by these batches themselves. Their running
    statistics, like all buffers, are set back afterwards: they belong to the masked network.

    **Deviation:** behind a batch norm, the saliency is that of a gate: see
    :class:`systolith.prune.filters.saliency.GateGradients`. With the weights of the convolution, as
    above, it would always be zero.

    **Deviation:** filters tied by additions or depthwise convolutions are masked together; their
    derivatives are added before the absolute value is taken.

    **Deviation:** the batches that measure the saliency also train the network, without masks,
    instead of a separate pass over 100 batches for every 500 steps. So a step costs the same, and
    masked filters learn beside the others.

    **Deviation:** the saliency is averaged over updates, and masks have hysteresis. Without both,
    more than a third of the masks changes at every update on digits.

    **Deviation:** budgets other than a share of the filters, a minimum for each group, portions, a
    gradual start, and saliency per cost.

    On digits at 12 % of the MACs, the test loss is 0.075, against 0.143 with random filters (three
    seeds). Most of that is how many filters each layer keeps: as many random ones reach 0.087.
    It does not beat random filters whose layers are reconstructed before training, which reach
    0.062: see :func:`systolith.prune.reconstruct_consumers_`.
    """

    def __init__(
        self,
        groups: Iterable[ChannelGroup],
        budget: FilterBudget,
        *,
        interval: int = 100,
        batches: int | None = None,
        begin: float = 0.05,
        ramp_until: float = 0.3,
        freeze_at: float = 0.5,
        per_cost: bool | None = None,
        momentum: float = 0.9,
        hysteresis: float = 1.0,
    ) -> None:
        problems = []
        batches = -(-interval // 4) if batches is None else batches
        if interval < 1:
            problems.append(f"interval must be at least 1, got {interval}")
        elif not 1 <= batches <= interval:
            problems.append(f"batches must lie in 1..{interval}, the interval, got {batches}")
        if not 0 <= begin <= freeze_at <= 1:
            problems.append(
                f"GDP needs 0 <= begin <= freeze_at <= 1, got begin={begin}, freeze_at={freeze_at}"
            )
        if not 0 <= ramp_until <= freeze_at:
            problems.append(f"ramp_until must be at most freeze_at ({freeze_at}), got {ramp_until}")
        if not 0 <= momentum < 1:
            problems.append(f"momentum must be at least 0 and below 1, got {momentum}")
        if not hysteresis >= 0:
            problems.append(f"hysteresis must be at least 0, got {hysteresis}")
        if per_cost and budget.cost is None:
            problems.append("saliency per cost needs a budget with a cost")
        PruneError.raise_if_any(problems)
        self._groups, self._budget = tuple(groups), budget
        check_budget(self._groups, budget)
        self._interval, self._batches = interval, batches
        self._begin, self._ramp_until, self._freeze_at = begin, ramp_until, freeze_at
        self._momentum, self._hysteresis = momentum, hysteresis
        self._unit_costs: dict[str, float] = {}
        if (cost := budget.ranking_cost) is not None and per_cost is not False:
            sizes = {group.name: group.size for group in self._groups if group.removable}
            self._unit_costs = unit_costs(sizes, cost)
        self.settings = {
            "budget": budget,
            "interval": interval,
            "batches": batches,
            "begin": begin,
            "ramp_until": ramp_until,
            "freeze_at": freeze_at,
            "per_cost": per_cost,
            "momentum": momentum,
            "hysteresis": hysteresis,
        }
        self.changes: list[int] = []
        self._saliency = Saliency(self._groups, torch.abs)
        self._average: dict[str, Tensor] = {}
        self._masks: FilterMasks | None = None
        self._ramp = 0.0
        self._steps = 0
        self._frozen = False
        self._length = TrainingLength()

    @contextmanager
    def step(self, model: nn.Module, progress: float) -> Iterator[None]:
        """See :meth:`systolith.prune.Sparsifier.step`."""
        if (steps := self._length.new_estimate(progress)) is not None:
            self.check_steps(steps)
        if not self._frozen and self._steps >= self._interval:
            if progress >= self._begin:
                self._update(model, progress)
            self._saliency.reset()
            self._steps = 0
        self._steps += 1
        learning = not self._frozen
        # Without masks, every step measures.
        measuring = learning and (
            self._masks is None or self._steps > self._interval - self._batches
        )
        with self._saliency.step(model, learn_on=learning, collect=measuring, masked=not measuring):
            yield

    def filters(self, model: nn.Module) -> FilterMasks:
        """Masks if training ended now: those in use, or new ones if they exceed the budget.

        Raises
        ------
        PruneError
            If no step has measured a saliency.
        """
        if self._masks is not None and self._ramp == 1:
            return self._masks
        if not self._average and not self._saliency.batches:
            raise PruneError(["filters are chosen by their saliency, which needs a training step"])
        return self._select(self._average or self._averaged(model), 1.0)

    def state_dict(self) -> dict[str, Any]:
        """Masks, saliency, and how far pruning went."""
        return {
            "masks": None if self._masks is None else dict(self._masks),
            "saliency": self._saliency.state_dict(),
            "average": dict(self._average),
            "ramp": self._ramp,
            "steps": self._steps,
            "frozen": self._frozen,
            "changes": list(self.changes),
            "length": self._length.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from such a state, with identical results."""
        self._saliency.load_state_dict(state["saliency"])
        self._average = dict(state["average"])
        self._ramp, self._steps, self._frozen = state["ramp"], state["steps"], state["frozen"]
        self.changes = list(state["changes"])
        self._length.load_state_dict(state["length"])
        masks = state["masks"]
        self._use(None if masks is None else FilterMasks(masks, self._groups))

    def check_steps(self, steps: int) -> None:
        """Warn if a training of this many steps is too short, as its first steps would."""
        updates = int(steps * (self._freeze_at - self._begin) / self._interval)
        if updates < FEWEST_UPDATES:
            warn_of_short_training(
                "GDP",
                f"{FEWEST_UPDATES} updates of its masks before they freeze",
                f"{updates} in {steps} steps with interval={self._interval}; use a smaller "
                "interval, or train for longer",
            )

    def _update(self, model: nn.Module, progress: float) -> None:
        self._ramp = self._ramp_at(progress)
        self._average = self._averaged(model)
        masks = self._select(self._average, self._ramp)
        before: Mapping[str, Tensor] = {} if self._masks is None else self._masks
        self.changes.append(
            sum(int((mask ^ before.get(name, mask | True)).sum()) for name, mask in masks.items())
        )
        self._use(masks)
        self._frozen = progress >= self._freeze_at

    def _use(self, masks: FilterMasks | None) -> None:
        self._masks = masks
        self._saliency.set_masks(masks)

    def _averaged(self, model: nn.Module) -> dict[str, Tensor]:
        return average_over_rounds(self._average, self._saliency.mean(model), self._momentum)

    def _select(self, saliency: Mapping[str, Tensor], ramp: float) -> FilterMasks:
        scores: Mapping[str, Tensor] = {
            name: self._worth(name, score) for name, score in saliency.items()
        }
        if self._unit_costs:
            scores = divide_by_costs(scores, self._unit_costs)
        budget = self._budget.relaxed(lambda final: final + (1 - final) * (1 - ramp) ** 3)
        return select_filters(self._groups, scores, budget)

    def _worth(self, name: str, saliency: Tensor) -> Tensor:
        worth = saliency.double()
        if self._masks is None or name not in self._masks:
            return worth
        kept = self._masks[name].to(worth.device)
        return torch.where(kept, worth * (1 + self._hysteresis), worth)

    def _ramp_at(self, progress: float) -> float:
        """Return the way to the final budget, 0..1."""
        if progress >= self._ramp_until:
            return 1.0
        return (progress - self._begin) / (self._ramp_until - self._begin)
