"""Selection of filters by score: one ranking over all layers, down to a budget."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from systolith.prune.errors import PruneError
from systolith.prune.filters.costs import KeptCost
from systolith.prune.filters.groups import ChannelGroup
from systolith.prune.filters.masks import FilterMasks

__all__ = ["FilterBudget", "check_budget", "select_filters", "unit_costs"]

ROUNDING = 1e-9
"""Relative tolerance of a budget, so that 0.7 of 10 filters is 7."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterBudget:
    """Share of a network that may be kept, and portions.

    Parameters
    ----------
    keep : float
        Share of the cost of all scored groups; above 0 and at most 1.
    cost : callable, optional
        Function from kept units, by group name, to the cost, such as
        :func:`systolith.prune.macs_after`. Default: the number of units.
    floor : int
        Minimum of kept units per group; smaller groups keep all.
    multiple_of : int
        Each group keeps a multiple of this number, such as the number of lanes, or all units.

    Raises
    ------
    PruneError
        If a number is out of range; all problems are listed.
    """

    keep: float
    cost: KeptCost | None = None
    floor: int = 1
    multiple_of: int = 1

    def __post_init__(self) -> None:
        problems = []
        if not 0 < self.keep <= 1:
            problems.append(f"keep must be above 0 and at most 1, got {self.keep}")
        if self.floor < 1:
            problems.append(f"floor must be at least 1, got {self.floor}")
        if self.multiple_of < 1:
            problems.append(f"multiple_of must be at least 1, got {self.multiple_of}")
        PruneError.raise_if_any(problems)

    def total(self, kept: Mapping[str, int]) -> float:
        """Cost of these numbers of units, by group name."""
        return float(sum(kept.values()) if self.cost is None else self.cost(kept))

    def is_met(self, masks: FilterMasks) -> bool:
        """Whether the kept units cost no more than allowed."""
        whole = self.total({name: len(mask) for name, mask in masks.items()})
        return self.total(masks.kept) <= self.allowed(whole)

    def allowed(self, whole: float) -> float:
        """Greatest allowed cost, if everything costs `whole`."""
        return self.keep * whole * (1 + ROUNDING)

    def rounded(self, kept: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Round numbers of kept units up to portions; groups have these sizes."""
        portions = -(-np.maximum(kept, self.floor) // self.multiple_of)
        result: NDArray[np.int64] = np.minimum(portions * self.multiple_of, sizes)
        return result


def select_filters(
    groups: Iterable[ChannelGroup],
    scores: Mapping[str, Tensor],
    budget: FilterBudget,
    *,
    limit: int | None = None,
) -> FilterMasks:
    """Remove the filters with the lowest scores of all layers until the budget is met.

    Filters are removed one by one in the order of their scores, as few as possible. Then each
    group's number is rounded up to a portion, and its highest scores are kept.

    Parameters
    ----------
    groups : iterable of ChannelGroup
    scores : mapping of str to Tensor of float, shape (size,)
        By group name; the highest are kept. On ties, filters that come first in the network, then
        in the layer, are kept. Groups that are not named keep everything.
    budget : FilterBudget
    limit : int, optional
        Stop after removing this number of filters, before rounding, even if the budget is not met.

    Raises
    ------
    PruneError
        If scores do not fit the groups or are not numbers, or if the budget cannot be met; all
        problems are listed.

    Examples
    --------
    >>> from torch import nn
    >>> from systolith.prune.filters.analysis import find_channel_groups
    >>> model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 1, 1))
    >>> groups = find_channel_groups(model, torch.zeros(1, 1, 3, 3))
    >>> scores = {"0": torch.tensor([1.0, 3.0, 2.0, 1.0])}
    >>> select_filters(groups, scores, FilterBudget(keep=0.75))["0"]
    tensor([ True,  True,  True, False])
    """
    known = {group.name: group for group in groups}
    PruneError.raise_if_any(_problems(known, scores, limit))
    names = [name for name in known if name in scores]
    sizes = np.array([known[name].size for name in names], dtype=np.int64)
    at_least = budget.rounded(np.zeros_like(sizes), sizes)
    ranks, candidates = _sort([scores[name] for name in names], at_least)

    def kept(removed: int) -> NDArray[np.int64]:
        others = np.bincount(candidates[: len(candidates) - removed], minlength=len(names))
        return budget.rounded(at_least + others, sizes)

    def cost(removed: int) -> float:
        return budget.total(dict(zip(names, kept(removed).tolist(), strict=True)))

    allowed = budget.allowed(cost(0))
    most = len(candidates) if limit is None else min(limit, len(candidates))
    if limit is None and cost(most) > allowed:
        problem = (
            f"keep={budget.keep} allows a cost of {allowed:g}, but with floor={budget.floor} and "
            f"multiple_of={budget.multiple_of} it is at least {cost(most):g}"
        )
        raise PruneError([problem])
    counts = kept(_first(lambda removed: cost(removed) <= allowed, most))
    return FilterMasks(
        {
            name: torch.from_numpy(rank < number).to(scores[name].device)
            for name, rank, number in zip(names, ranks, counts, strict=True)
        },
        known.values(),
    )


def check_budget(groups: Iterable[ChannelGroup], budget: FilterBudget) -> None:
    """Check before training whether a budget can be met.

    Raises
    ------
    PruneError
        If no group is removable, or `floor` and `multiple_of` keep too much.
    """
    groups = tuple(groups)
    if not any(group.removable for group in groups):
        raise PruneError(["a network needs filters that can be removed, got none"])
    scores = {group.name: torch.zeros(group.size) for group in groups if group.removable}
    select_filters(groups, scores, budget)


def unit_costs(groups: Iterable[ChannelGroup], cost: KeptCost) -> dict[str, float]:
    """Compute the cost of a unit of each removable group: the mean over all but the last one.

    Scores divided by it are scores per cost. It is 0 for groups of one unit.
    """
    sizes = {group.name: group.size for group in groups if group.removable}
    whole = cost(sizes)
    return {
        name: (whole - cost({**sizes, name: 1})) / max(size - 1, 1) for name, size in sizes.items()
    }


def _sort(
    scores: list[Tensor], at_least: NDArray[np.int64]
) -> tuple[list[NDArray[np.int64]], NDArray[np.int64]]:
    """Rank units within their groups, and list the groups of all removable units, best first."""
    values = torch.cat([score.detach().double() for score in scores]).cpu().numpy()
    sizes = [len(score) for score in scores]
    owners = np.repeat(np.arange(len(sizes)), sizes)
    order = np.argsort(-values, kind="stable")
    ranks = []
    for group, start in enumerate(np.cumsum([0, *sizes[:-1]])):
        mine = order[owners[order] == group] - start
        rank = np.empty_like(mine)
        rank[mine] = np.arange(len(mine))
        ranks.append(rank)
    removable = np.concatenate(ranks) >= at_least[owners]
    return ranks, owners[order[removable[order]]]


def _first(holds: Callable[[int], bool], most: int) -> int:
    """Find the smallest number up to `most` from which on a condition holds; else `most`."""
    low, high = 0, most
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low


def _problems(
    groups: Mapping[str, ChannelGroup], scores: Mapping[str, Tensor], limit: int | None
) -> Iterator[str]:
    if not scores:
        yield "scores must name at least one group, got none"
    if limit is not None and limit < 0:
        yield f"limit must be at least 0, got {limit}"
    for name, score in scores.items():
        if name not in groups:
            yield f"scores must name a group of {', '.join(groups)}, got '{name}'"
        elif groups[name].reason:
            yield f"group '{name}' cannot be scored: {groups[name].reason}"
        elif score.shape != (groups[name].size,):
            yield (
                f"scores of group '{name}' must have shape ({groups[name].size},), "
                f"got {tuple(score.shape)}"
            )
        elif score.isnan().any():
            yield f"scores of group '{name}' must be numbers, got nan"
