"""Prices of scarce resources: with them, the best choice of each layer needs no other layer.

With any prices, the sum of the least costs of all layers is a lower bound on the cost of every
choice. If the limits are worth less than that, no choice keeps them. And if the cheapest options of
all layers keep the limits, some choice does. So a few hundred prices decide most questions of
whether a pace is possible, without a search.
"""

from bisect import bisect_right
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["Floats", "Ints", "PricedOptions", "draw_prices", "find_cheapest", "judge_pace"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

TRIES = 128
"""Random prices."""
LOW, HIGH = -3.0, 7.0
"""Prices are drawn between these powers of two."""
ROUNDING = 1e-9
"""Relative error of a sum of costs, at most."""


def draw_prices(kinds: int) -> Floats:
    """Draw prices of some kinds of resources, shape (P, kinds): none, one, or several at once."""
    rng = np.random.default_rng(0)
    alone = [np.outer(2.0 ** np.arange(LOW, HIGH), row) for row in np.eye(kinds)]
    drawn = 2.0 ** rng.uniform(LOW, HIGH, (TRIES, kinds)) * (rng.random((TRIES, kinds)) < 0.6)
    return np.concatenate([np.zeros((1, kinds)), *alone, drawn])


def find_cheapest(cost: Floats) -> Ints:
    """Number of the least cost up to each row, column by column; of equals, the first."""
    least = np.minimum.accumulate(cost, axis=0)
    fresh = np.ones(cost.shape, dtype=bool)
    fresh[1:] = cost[1:] < least[:-1]
    numbers = np.where(fresh, np.arange(len(cost))[:, None], 0)
    cheapest: Ints = np.maximum.accumulate(numbers, axis=0)
    return cheapest


class PricedOptions:
    """The cheapest option of one layer for each pace and price.

    Parameters
    ----------
    cycles : sequence of int
        Cycles of each option, ascending.
    amounts : array of int, shape (options, kinds)
        Resources of each option.
    scale : array of float, shape (kinds,)
        Factor on the amounts of each kind.
    prices : array of float, shape (P, kinds)
    """

    def __init__(self, cycles: Sequence[int], amounts: Ints, scale: Floats, prices: Floats) -> None:
        self._cycles, self._amounts = cycles, amounts
        self._costs = (amounts * scale) @ prices.T
        self._cheapest = find_cheapest(self._costs)

    def cheapest(self, pace: int) -> tuple[Ints, Floats]:
        """Amounts, shape (P, kinds), and costs, shape (P,), of the cheapest options at a pace."""
        numbers = self._cheapest[bisect_right(self._cycles, pace) - 1]
        return self._amounts[numbers], self._costs[numbers, np.arange(len(numbers))]


def judge_pace(
    layers: Sequence[PricedOptions], pace: int, limits: Ints, worth: Floats
) -> bool | None:
    """Judge whether all layers together can keep a pace within limits.

    Parameters
    ----------
    layers : sequence of PricedOptions
        Each has options at this pace.
    pace : int
        Most cycles of each layer.
    limits : array of int, shape (kinds,)
    worth : array of float, shape (P,)
        Cost of the limits at each price, scaled as amounts are.

    Returns
    -------
    bool, or None
        None if no price decides.
    """
    priced = [layer.cheapest(pace) for layer in layers]
    totals = np.sum([amounts for amounts, _ in priced], axis=0)
    if (totals <= limits).all(axis=1).any():
        return True
    costs = np.sum([cost for _, cost in priced], axis=0)
    return False if (costs > worth + ROUNDING * (costs + np.abs(worth))).any() else None
