"""Estimates of a whole design in a fraction of a millisecond, for searches over many designs.

A sketch chooses an engine for each layer as the planner does, from tables that are made once. It
leaves out queues, gearboxes and extra depth of window buffers. It does not search: it tries a few
hundred prices of the scarce resources, and takes the cheapest engine of every layer for each. So it
may miss designs that barely fit.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter

import numpy as np

from systolith.devices.budget import KINDS, SHARE, Budget, Resources
from systolith.plan.choose.options import EngineOption
from systolith.plan.choose.prices import Floats, Ints, draw_prices, find_cheapest

__all__ = ["OptionTable", "Sketch", "sketch_design"]


KIND_NAMES = tuple(KINDS)
MULTIPLIERS = KIND_NAMES.index("multipliers")
SCARCE = len(KIND_NAMES) - 1
"""Number of resources besides multipliers in PE arrays."""
PASSES = 2
"""Passes over all layers in which each layer may choose again while the others stay."""

PRICES = draw_prices(SCARCE)
"""Of the resources besides multipliers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sketch:
    """A design without the streams between its engines.

    Attributes
    ----------
    cycles : int
        Cycles per frame.
    resources : Resources
        Sum over all engines.
    engines : tuple of EngineOption
        One for each table, in their order; their streams are at their widest.
    """

    cycles: int
    resources: Resources
    engines: tuple[EngineOption, ...]


class OptionTable:
    """The options of one layer, and the cheapest one for each pace and price.

    Parameters
    ----------
    options : sequence of EngineOption
        At least one.
    budget : Budget
        Prices and shares are relative to its limits.
    """

    def __init__(self, options: Sequence[EngineOption], budget: Budget) -> None:
        import moocore  # only searches need it

        options = sorted(options, key=lambda option: option.cycles)
        cycles = np.array([option.cycles for option in options], dtype=np.int64)
        amounts = attrgetter(*KIND_NAMES)
        taken = np.array([amounts(option.resources) for option in options], dtype=np.int64)
        kept = moocore.is_nondominated(np.column_stack([cycles, taken]).astype(float))
        self.options = [option for option, keep in zip(options, kept, strict=True) if keep]
        self.cycles: Ints = cycles[kept]
        self._paces: list[int] = self.cycles.tolist()
        self.taken: Ints = taken[kept]
        self.least: Ints = np.minimum.accumulate(self.taken, axis=0)
        """Smallest amount of each resource among the options up to this one."""
        units = [budget.share(Resources(**{kind: 1})) for kind in KIND_NAMES]
        self.shares: Ints = self.taken @ np.array(units, dtype=np.int64)
        self.rank: Ints = np.empty(len(self.options), dtype=np.int64)
        """Rank of each option by multipliers, then by shares."""
        order = np.lexsort((self.shares, self.taken[:, MULTIPLIERS]))
        self.rank[order] = np.arange(len(order))
        scale = np.array([SHARE / max(budget.limits.get(kind, 0), 1) for kind in KIND_NAMES])
        scale[[kind not in budget.limits for kind in KIND_NAMES]] = 0.0
        scarce = np.delete(self.taken * scale, MULTIPLIERS, axis=1)
        cost = self.shares[:, None] + scarce @ PRICES.T
        # With fewest multipliers first, as the planner chooses; then, as a fallback, without.
        most = float(cost.max()) + 1
        cost = np.concatenate([cost + most * self.taken[:, [MULTIPLIERS]], cost], axis=1)
        self.cheapest: Ints = find_cheapest(cost)

    def keeping(self, pace: int) -> int:
        """Count the options that take at most `pace` cycles."""
        return bisect_right(self._paces, pace)

    def picks(self, pace: int) -> Ints:
        """Cheapest option of at most `pace` cycles for each price; shape (2 P,)."""
        picked: Ints = self.cheapest[self.keeping(pace) - 1]
        return picked


def sketch_design(
    tables: Sequence[OptionTable], budget: Budget, *, cycles: int | None = None
) -> Sketch | None:
    """Sketch the fastest design within a budget, or the smallest one at a pace.

    Parameters
    ----------
    tables : sequence of OptionTable
        One for each layer; equal layers may share theirs.
    budget : Budget
    cycles : int, optional
        Most cycles per frame.

    Returns
    -------
    Sketch, or None
        None if no tried price leads to a design within the budget.
    """
    least = max(int(table.cycles[0]) for table in tables)
    limits = np.array([budget.limits.get(kind, np.inf) for kind in KIND_NAMES])
    if cycles is not None:
        return None if least > cycles else _best(tables, limits, cycles)
    every = np.unique(np.concatenate([table.cycles for table in set(tables)]))
    paces = every[every >= least]
    low, high = 0, len(paces) - 1
    if not _fits(tables, limits, int(paces[high])):
        return None
    while low < high:
        middle = (low + high) // 2
        if _fits(tables, limits, int(paces[middle])):
            high = middle
        else:
            low = middle + 1
    return _best(tables, limits, int(paces[low]))


@dataclass(frozen=True, slots=True)
class _Pick:
    """The best of the designs that the prices lead to."""

    picks: list[int]
    total: Ints
    fits: bool


def _pick(tables: Sequence[OptionTable], limits: Floats, pace: int) -> _Pick:
    tried = [table.picks(pace) for table in tables]
    taken, shares = tables[0].taken[tried[0]], tables[0].shares[tried[0]]
    for table, numbers in zip(tables[1:], tried[1:], strict=True):
        taken += table.taken[numbers]
        shares += table.shares[numbers]
    excess = _excess(taken, limits)
    best = int(np.lexsort((shares, taken[:, MULTIPLIERS], excess))[0])
    return _Pick(
        picks=[int(numbers[best]) for numbers in tried],
        total=taken[best],
        fits=excess[best] == 0,
    )


def _fits(tables: Sequence[OptionTable], limits: Floats, pace: int) -> bool:
    """Whether a tried design keeps the pace within the limits."""
    least = np.sum([table.least[table.keeping(pace) - 1] for table in tables], axis=0)
    if (least > limits).any():
        return False
    pick = _pick(tables, limits, pace)
    if pick.fits:
        return True
    _, total = _improve(tables, limits, pace, pick)
    return bool((total <= limits).all())


def _best(tables: Sequence[OptionTable], limits: Floats, pace: int) -> Sketch | None:
    """Best tried design at a pace."""
    picks, total = _improve(tables, limits, pace, _pick(tables, limits, pace))
    if (total > limits).any():
        return None
    engines = tuple(table.options[n] for table, n in zip(tables, picks, strict=True))
    return Sketch(
        cycles=max(engine.cycles for engine in engines),
        resources=Resources(**dict(zip(KIND_NAMES, total.tolist(), strict=True))),
        engines=engines,
    )


def _improve(
    tables: Sequence[OptionTable], limits: Floats, pace: int, pick: _Pick
) -> tuple[list[int], Ints]:
    """Let each layer choose again while the others stay. Returns option numbers and the sum."""
    picks, total = list(pick.picks), pick.total
    for _ in range(PASSES):
        for place, table in enumerate(tables):
            end = table.keeping(pace)
            others = total - table.taken[picks[place]] + table.taken[:end]
            excess = _excess(others, limits)
            least = np.flatnonzero(excess == excess.min())
            picks[place] = int(least[table.rank[least].argmin()])
            total = others[picks[place]]
    return picks, total


def _excess(taken: Ints, limits: Floats) -> Floats:
    """Sum of the relative excesses over all limits, for designs of shape (N, kinds)."""
    bounded = np.isfinite(limits)
    most = limits[bounded]
    excess: Floats = np.maximum(taken[:, bounded] - most, 0) @ (1 / np.maximum(most, 1))
    return excess
