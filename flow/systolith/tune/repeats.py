"""Points that were drawn before are replaced by neighbours that were not."""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from systolith.tune.space import Axis, Label, Point

__all__ = ["Items", "Unrepeated", "items_of", "new_neighbour"]

STEPS = 64
"""Of a walk to a point that is new."""

Items = frozenset[tuple[str, Label]]
"""A point as a set: equal for equal points."""


class Unrepeated(BaseSampler):
    """A sampler that asks another one, and changes what was drawn before.

    Genetic samplers draw many children of few parents. With a few options on each axis most are
    what a parent or another child is: parents are alike, so a child of two is often one of them;
    and of n axes one is mutated on average, in more than a third of the children none, or to what
    is there already.

    Parameters
    ----------
    inner : BaseSampler
    axes : sequence of Axis
    known : collection of Items
        What was drawn before.
    seed : int
        Of the changes.
    """

    def __init__(
        self, inner: BaseSampler, axes: Sequence[Axis], known: Collection[Items], seed: int
    ) -> None:
        self.inner, self.axes, self.known, self.seed = inner, axes, known, seed

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """All axes: what the other sampler draws one by one is part of the point, too."""
        return {axis.name: CategoricalDistribution(axis.options) for axis in self.axes}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Draw a point; one that is new, if there is one nearby."""
        own = self.inner.infer_relative_search_space(study, trial)
        together = self.inner.sample_relative(study, trial, own)
        point = {
            name: together[name]
            if name in together
            else self.inner.sample_independent(study, trial, name, distribution)
            for name, distribution in search_space.items()
        }
        return new_neighbour(point, self.axes, self.known, np.random.default_rng(self.seed))

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Draw one axis as the other sampler does."""
        return self.inner.sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Let the other sampler prepare."""
        self.inner.before_trial(study, trial)

    def after_trial(
        self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """Let the other sampler hear what was told."""
        self.inner.after_trial(study, trial, state, values)


def items_of(point: Point) -> Items:
    """See a point as a set."""
    return frozenset(point.items())


def new_neighbour(
    point: Point, axes: Sequence[Axis], known: Collection[Items], rng: np.random.Generator
) -> dict[str, Label]:
    """Find a point that is not known: the given one, one that differs in one axis, or one nearby.

    Parameters
    ----------
    point : Point
    axes : sequence of Axis
    known : collection of Items
    rng : numpy.random.Generator

    Returns
    -------
    dict of str to Label
        The given point, if a random walk finds no new one either.
    """
    here = dict(point)
    for _ in range(STEPS):
        if items_of(here) not in known:
            return here
        around = [
            {**here, axis.name: label}
            for axis in axes
            for label in axis.options
            if label != here[axis.name]
        ]
        fresh = [each for each in around if items_of(each) not in known]
        if not around:
            break
        choices = fresh or around
        here = choices[int(rng.integers(len(choices)))]
    return dict(point)
