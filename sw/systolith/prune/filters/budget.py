"""Budgets of filters: what may be kept of a network, and in which portions."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from systolith.foundation import is_number, show_value
from systolith.prune.errors import PruneError
from systolith.prune.filters.costs import KeptCost
from systolith.prune.filters.groups import ChannelGroup
from systolith.prune.filters.masks import FilterMasks

__all__ = ["FilterBudget", "match_ratios"]

ROUNDING = 1e-9
"""Relative tolerance of a budget, so that 0.7 of 10 filters is 7."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterBudget:
    """Share of a network that may be kept, and portions.

    Parameters
    ----------
    keep : float or tuple of float
        Share of the cost of all scored groups; above 0 and at most 1. Several limits, such as one
        of MACs and one of parameters, are a tuple.
    cost : callable or tuple of callable, optional
        Function from kept units, by group name, to the cost, such as
        :func:`systolith.prune.macs_after`; one for each share. Default: the number of units.
    min_filters : int
        Fewest units that each group keeps; smaller groups keep all.
    min_ratio : float
        Least share of its units that each group keeps, 0..1, rounded up.
    multiple_of : int
        Each group keeps a multiple of this number, such as the number of lanes, or all units.
    ratios : mapping of str to float
        Share of its units that a group keeps, above 0 and at most 1, by group name, such as
        :func:`match_ratios` gives. These groups take no part in the ranking of the others.

    Raises
    ------
    PruneError
        If a number is out of range, or shares and costs differ in number; all problems are listed.

    Notes
    -----
    With several limits, the network meets all. :attr:`ranking_cost`, by which scores are divided,
    adds up the used shares of all limits: by that of the limit which is exceeded most, filters
    would be ranked by one cost only, and the other limit would be met long before, and by far.
    """

    keep: float | tuple[float, ...]
    cost: KeptCost | tuple[KeptCost, ...] | None = None
    min_filters: int = 1
    min_ratio: float = 0.0
    multiple_of: int = 1
    ratios: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        problems = [
            f"keep must be above 0 and at most 1, got {show_value(share)}"
            for share in self._shares
            if not is_number(share) or not 0 < share <= 1
        ]
        if len(self._shares) != len(self._costs):
            problems.append(
                f"keep must have a share for each cost, got {len(self._shares)} shares and "
                f"{len(self._costs)} costs"
            )
        if self.min_filters < 1:
            problems.append(f"min_filters must be at least 1, got {self.min_filters}")
        if not 0 <= self.min_ratio <= 1:
            problems.append(f"min_ratio must lie in 0..1, got {self.min_ratio}")
        if self.multiple_of < 1:
            problems.append(f"multiple_of must be at least 1, got {self.multiple_of}")
        problems += [
            f"the ratio of '{name}' must be above 0 and at most 1, got {show_value(ratio)}"
            for name, ratio in self.ratios.items()
            if not is_number(ratio) or not 0 < ratio <= 1
        ]
        PruneError.raise_if_any(problems)

    @property
    def _shares(self) -> tuple[float, ...]:
        return self.keep if isinstance(self.keep, tuple) else (self.keep,)

    @property
    def _costs(self) -> tuple[KeptCost, ...]:
        if isinstance(self.cost, tuple):
            return self.cost
        return (_count_units if self.cost is None else self.cost,)

    @property
    def ranking_cost(self) -> KeptCost | None:
        """Cost by which scores are divided: the only one, or the sum of the limits' used shares.

        None if the budget has no cost.
        """
        if not isinstance(self.cost, tuple):
            return self.cost
        limits = [
            (cost, share * cost({}))
            for share, cost in zip(self._shares, self._costs, strict=True)
            if cost({}) > 0
        ]

        def used(kept: Mapping[str, int]) -> float:
            return sum(cost(kept) / most for cost, most in limits)

        return used

    def excesses(
        self, kept: Mapping[str, int], sizes: Mapping[str, int]
    ) -> Iterator[tuple[float, float, float]]:
        """Yield the limits that these numbers of units exceed; groups have these sizes.

        Yields
        ------
        tuple of three float
            The share of the limit, the greatest allowed cost, and the cost.
        """
        for share, cost in zip(self._shares, self._costs, strict=True):
            allowed, used = share * cost(sizes) * (1 + ROUNDING), cost(kept)
            if used > allowed:
                yield share, allowed, used

    def allows(self, kept: Mapping[str, int], sizes: Mapping[str, int]) -> bool:
        """Whether these numbers of units exceed no limit."""
        return not any(self.excesses(kept, sizes))

    def is_met(self, masks: FilterMasks) -> bool:
        """Whether the kept units cost no more than allowed, and ratios are reached."""
        sizes = {name: len(mask) for name, mask in masks.items()}
        fixed = self.fixed(sizes)
        return self.allows(masks.kept, sizes) and all(
            masks.kept[name] <= count for name, count in fixed.items()
        )

    def rounded(self, kept: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Round numbers of kept units up to portions; groups have these sizes."""
        shares = np.ceil(self.min_ratio * sizes * (1 - ROUNDING)).astype(np.int64)
        fewest = np.maximum(self.min_filters, shares)
        portions = -(-np.maximum(kept, fewest) // self.multiple_of)
        result: NDArray[np.int64] = np.minimum(portions * self.multiple_of, sizes)
        return result

    def fixed(self, sizes: Mapping[str, int]) -> dict[str, int]:
        """Units that groups with a ratio keep; groups have these sizes."""
        names = [name for name in sizes if name in self.ratios]
        counts = np.array([max(1, round(self.ratios[n] * sizes[n])) for n in names], dtype=np.int64)
        rounded = self.rounded(counts, np.array([sizes[n] for n in names], dtype=np.int64))
        return dict(zip(names, rounded.tolist(), strict=True))

    def relaxed(self, share: Callable[[float], float]) -> "FilterBudget":
        """Budget on the way to this one.

        Parameters
        ----------
        share : callable
            Share to keep now, from the final one, for each of `keep` and for each ratio alike.
        """
        ratios = {name: share(ratio) for name, ratio in self.ratios.items()}
        shares = tuple(map(share, self._shares))
        keep = shares if isinstance(self.keep, tuple) else shares[0]
        return replace(self, keep=keep, ratios=ratios)


def _count_units(kept: Mapping[str, int]) -> float:
    return float(sum(kept.values()))


def match_ratios(groups: Iterable[ChannelGroup], rules: Mapping[str, float]) -> dict[str, float]:
    """Find the ratio of each group from rules for layers.

    Parameters
    ----------
    groups : iterable of ChannelGroup
    rules : mapping of str to float
        Regular expression for names of layers, and the share of their filters to keep. A rule is
        for a group if it matches the whole name of one of the group's producers; later rules win.

    Returns
    -------
    dict of str to float
        By group name.

    Raises
    ------
    PruneError
        If an expression is malformed or matches no layer with removable filters; all problems are
        listed.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from systolith.prune.filters.analysis import find_channel_groups
    >>> model = nn.Sequential(nn.Conv2d(1, 4, 1), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 1, 1))
    >>> match_ratios(find_channel_groups(model, torch.zeros(1, 1, 2, 2)), {"[0-1]": 0.5, "1": 0.75})
    {'0': 0.5, '1': 0.75}
    """
    removable = [group for group in groups if group.removable]
    layers = [name for group in removable for name in group.producers]
    problems: list[str] = []
    ratios: dict[str, float] = {}
    for rule, ratio in rules.items():
        try:
            matched = {name for name in layers if re.fullmatch(rule, name)}
        except re.error as error:
            problems.append(f"ratio '{rule}' is not a regular expression: {error}")
            continue
        if not matched:
            removable_layers = ", ".join(layers)
            problems.append(
                f"ratio '{rule}' must name a layer with removable filters; there are "
                f"{removable_layers}"
            )
        ratios |= {g.name: ratio for g in removable if matched.intersection(g.producers)}
    PruneError.raise_if_any(problems)
    return {group.name: ratios[group.name] for group in removable if group.name in ratios}
