"""Pareto fronts, their hypervolume, and the candidates that enlarge it most."""

from collections.abc import Sequence
from heapq import heapify, heappop, heappush

import moocore
import numpy as np
from numpy.typing import NDArray

__all__ = ["LossScale", "front_of", "most_promising"]

Floats = NDArray[np.float64]


class LossScale:
    """Scales losses: 0 is the best of a space, 1 the worst.

    Parameters
    ----------
    best, worst : array of float, shape (objectives,)
        A design that is worse than `worst` in any objective adds no hypervolume.
    """

    def __init__(self, best: Floats, worst: Floats) -> None:
        self.best, self.worst = best, worst

    def hypervolume(self, losses: Floats) -> float:
        """Compute the share of the volume that designs dominate, from losses (N, objectives)."""
        if not len(losses):
            return 0.0
        return float(moocore.hypervolume(self.shares(losses), ref=np.ones(len(self.best))))

    def shares(self, losses: Floats) -> Floats:
        """Scale losses."""
        span = np.where(self.worst > self.best, self.worst - self.best, 1.0)
        scaled: Floats = (losses - self.best) / span
        return scaled


def front_of(losses: Floats) -> list[int]:
    """Return the indices of non-dominated designs from losses (N, objectives); the first of equals.

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
    candidates: Sequence[Floats], front: Floats, scale: LossScale, count: int
) -> list[int]:
    """Choose candidates one by one: each adds the most hypervolume to those before it.

    A candidate's gain only shrinks as others are chosen, so it is recomputed only when the
    candidate seems to be the best. If no candidate adds anything, the one with the smallest
    scaled losses is next.

    Parameters
    ----------
    candidates : sequence of array of float, shape (designs, objectives)
        Losses of all designs of a candidate.
    front : array of float, shape (M, objectives)
        Losses of the present front.
    scale : LossScale
    count : int
        Largest number of candidates to choose.

    Returns
    -------
    list of int
        Indices of candidates, the best first.
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
