"""How pruning probabilities rise and fall by rank, and how many updates that takes."""

from collections.abc import Iterable
from functools import cache
from math import ceil, log

import torch
from torch import Tensor

__all__ = ["fit_spp", "max_updates", "rank_rows", "spp_increment", "spp_updates"]

MARGIN = 1.5
"""Updates to plan, relative to those that constant ranks need: ranks change in training."""
LONGEST_INTERVAL = 180
"""Steps between two updates in a long training, as in the paper."""
MAX_INCREMENT = 0.05
"""The paper's A."""


def spp_increment(
    rank: Tensor, prune: Tensor, max_increment: float, flatness: float = 0.25
) -> Tensor:
    """Change of a pruning probability by rank; the least important has rank 0.

    With ``a = log(2 / flatness) / prune``, an exponential up to ``m = log(1 / flatness) / a``, and
    its point reflection after it; A is `max_increment`::

        delta(r) = A exp(-a r)                                      r <= m
        delta(r) = 2 flatness A - A exp(-a (2 m - r))               r > m

    It falls from `max_increment` at rank 0 through 0 at rank `prune`.

    Parameters
    ----------
    rank : Tensor of int64, any shape
    prune : Tensor of int64, which broadcasts to the shape of rank
        Number to prune. Where it is 0, nothing may rise: the change is -1.
    max_increment : float
        Largest increase; positive.
    flatness : float
        Value at m relative to `max_increment`, above 0 and below 1.

    Returns
    -------
    Tensor of float64, shape of rank
        Positive below `prune`, 0 there, negative above; at least -1.
    """
    a = log(2 / flatness) / prune.double().clamp_min(1)
    middle = log(1 / flatness) / a
    r = rank.double()
    near = max_increment * torch.exp(-a * r)
    far = 2 * flatness * max_increment - max_increment * torch.exp(-a * (2 * middle - r))
    far = torch.where(rank == prune, 0.0, far)  # exactly, despite rounding
    change = torch.where(r <= middle, near, far).clamp_min(-1.0)
    return torch.where(prune > 0, change, -1.0)


@cache
def spp_updates(n: int, k: int, max_increment: float, flatness: float = 0.25) -> int:
    """Count the updates until n - k of n columns have probability 1, if ranks never change.

    Examples
    --------
    >>> spp_updates(4, 1, 0.05), spp_updates(16, 2, 0.05), spp_updates(288, 72, 0.05)
    (42, 79, 146)
    """
    ranks, probabilities, updates = torch.arange(n), torch.zeros(n, dtype=torch.float64), 0
    while (gone := int((probabilities == 1).sum())) < n - k:
        change = spp_increment(ranks - gone, torch.tensor(n - k - gone), max_increment, flatness)
        probabilities[gone:] = (probabilities + change)[gone:].clamp(0.0, 1.0)
        updates += 1
    return updates


def max_updates(groups: Iterable[tuple[int, int]], max_increment: float, flatness: float) -> int:
    """Return the updates of the slowest of groups (n, k), see :func:`spp_updates`."""
    return max((spp_updates(n, k, max_increment, flatness) for n, k in groups), default=0)


def fit_spp(groups: Iterable[tuple[int, int]], flatness: float, steps: int) -> tuple[int, float]:
    """Choose interval and largest increase so that all groups (n, k) are decided within `steps`.

    The increase is the paper's, and the interval as long as possible; only if an update in every
    step is too slow, the increase is doubled until it suffices or reaches 1.
    """
    groups, increment = tuple(groups), MAX_INCREMENT
    while (updates := ceil(MARGIN * max_updates(groups, increment, flatness))) > steps:
        if increment >= 1:
            break
        increment *= 2
    return min(max(steps // max(updates, 1), 1), LONGEST_INTERVAL), min(increment, 1.0)


def rank_rows(values: Tensor) -> Tensor:
    """Rank within each row, 0 for the lowest; of equal values, the last has the lowest rank."""
    order = torch.argsort(values.flip(1), dim=1, stable=True)
    places = torch.arange(values.shape[1], device=values.device).expand_as(order)
    ranks: Tensor = torch.empty_like(order).scatter_(1, order, places).flip(1)
    return ranks
