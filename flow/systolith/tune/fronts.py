"""Pareto fronts, their hypervolume, and which candidates would enlarge it most."""

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


def most_promising(losses: Floats, front: Floats, scale: Scale, count: int) -> list[int]:
    """Choose candidates one by one, each that which adds most hypervolume to all before it.

    Where none adds any, the one that is nearest to the best of the space is next.

    Parameters
    ----------
    losses : array of float, shape (N, objectives)
        Of candidates.
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
    left, chosen, known = list(range(len(losses))), list[int](), front
    distance = np.square(np.maximum(scale.shares(losses), 0)).sum(axis=1)
    volume = scale.hypervolume(known)
    while left and len(chosen) < count:
        volumes = [scale.hypervolume(np.vstack([known, losses[[number]]])) for number in left]
        gains = [found - volume for found in volumes]
        place = min(range(len(left)), key=lambda n: (-gains[n], distance[left[n]], left[n]))
        volume = volumes[place]
        number = left.pop(place)
        known = np.vstack([known, losses[[number]]])
        chosen.append(number)
    return chosen
