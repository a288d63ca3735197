"""Pareto fronts, their hypervolume, and which candidates would enlarge it most."""

from collections.abc import Sequence
from heapq import heapify, heappop, heappush

import moocore
import numpy as np
from numpy.typing import NDArray

__all__ = ["Scale", "front_of", "most_promising"]

Floats = NDArray[np.float64]


class Scale:
    """Losses as shares of the way from the best to the worst that a space has.

    Parameters
    ----------
    best, worst : array of float, shape (objectives,)
        What is worse in anything adds no hypervolume.
    """

    def __init__(self, best: Floats, worst: Floats) -> None:
        self.best, self.worst = best, worst

    def hypervolume(self, losses: Floats) -> float:
        """Share of the volume between best and worst that designs, (N, objectives), dominate."""
        if not len(losses):
            return 0.0
        return float(moocore.hypervolume(self.shares(losses), ref=np.ones(len(self.best))))

    def shares(self, losses: Floats) -> Floats:
        """Scale losses: 0 is the best of the space, 1 the worst."""
        span = np.where(self.worst > self.best, self.worst - self.best, 1.0)
        found: Floats = (losses - self.best) / span
        return found


def front_of(losses: Floats) -> list[int]:
    """Numbers of the designs, of losses (N, objectives), that no other one beats; first of equals.

    Examples
    --------
    >>> front_of(np.array([[1.0, 2.0], [2.0, 1.0], [2.0, 2.0], [1.0, 2.0]]))
    [0, 1]
    """
    if not len(losses):
        return []
    kept: NDArray[np.bool_] = moocore.is_nondominated(losses)
    return [int(number) for number in np.flatnonzero(kept)]


def most_promising(
    candidates: Sequence[Floats], front: Floats, scale: Scale, count: int
) -> list[int]:
    """Choose candidates one by one, each that which adds most hypervolume to all before it.

    What one adds can only become less as others are chosen; so it is looked at again only when it
    seems to be the best. Where none adds anything, the one nearest to the best of all is next.

    Parameters
    ----------
    candidates : sequence of array of float, shape (designs, objectives)
        Losses of all designs that a candidate would give.
    front : array of float, shape (M, objectives)
        Of what is there already.
    scale : Scale
    count : int
        At most so many are chosen.

    Returns
    -------
    list of int
        Numbers of candidates, the best first.
    """
    known, chosen = front, list[int]()
    volume = scale.hypervolume(known)
    distances = [
        float(np.square(np.maximum(scale.shares(losses), 0)).sum(axis=1).min())
        for losses in candidates
    ]
    queue = [(-np.inf, distances[n], n, -1) for n in range(len(candidates))]
    heapify(queue)
    while queue and len(chosen) < count:
        _, distance, number, round_ = heappop(queue)
        enlarged = np.vstack([known, candidates[number]])
        if round_ < len(chosen):
            gain = scale.hypervolume(enlarged) - volume
            heappush(queue, (-gain, distance, number, len(chosen)))
            continue
        known = enlarged[front_of(enlarged)]
        volume = scale.hypervolume(known)
        chosen.append(number)
    return chosen
