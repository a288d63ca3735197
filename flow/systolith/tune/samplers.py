"""Optuna's samplers without repeated points, seeded by the number of the trial."""

import hashlib
import warnings
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import (
    BaseSampler,
    GPSampler,
    NSGAIIISampler,
    NSGAIISampler,
    RandomSampler,
    TPESampler,
)
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from systolith.config import SamplerName
from systolith.tune.space import Axis, Label, SearchPoint

__all__ = ["Items", "NoRepeatSampler", "find_new_neighbour", "items_of", "make_sampler"]

LEAST_POPULATION = 2
"""Smallest population of a genetic sampler; smaller batches share a generation."""
STEPS = 64
"""Longest random walk to a new point."""

Items = frozenset[tuple[str, Label]]
"""A point as a set: equal for equal points."""


def make_sampler(
    name: SamplerName,
    seed: int,
    number: int,
    batch: int,
    axes: Sequence[Axis],
    known: Collection[Items],
) -> BaseSampler:
    """Make the sampler of one trial, which draws a new point if it can.

    The seed depends on the study and the trial only, so that a resumed study draws the same points.

    Parameters
    ----------
    name : SamplerName
    seed : int
        Seed of the study.
    number : int
        Number of the trial.
    batch : int
        Points that are trained together; a generation of genetic samplers.
    axes : sequence of Axis
        Axes of the space.
    known : collection of Items
        Points that were drawn before.
    """
    digest = hashlib.sha256(f"{seed} {number}".encode()).digest()
    own, changes = (int.from_bytes(digest[at : at + 4], "big") for at in (0, 4))
    return NoRepeatSampler(_make_base_sampler(name, own, batch), axes, known, changes)


def _make_base_sampler(name: SamplerName, own: int, batch: int) -> BaseSampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        match name:
            case SamplerName.NSGA2:
                return NSGAIISampler(population_size=max(batch, LEAST_POPULATION), seed=own)
            case SamplerName.NSGA3:
                return NSGAIIISampler(population_size=max(batch, LEAST_POPULATION), seed=own)
            case SamplerName.TPE:
                return TPESampler(seed=own, n_startup_trials=batch, constant_liar=True)
            case SamplerName.GP:
                return GPSampler(seed=own, n_startup_trials=batch)
            case SamplerName.RANDOM:
                return RandomSampler(seed=own)


class NoRepeatSampler(BaseSampler):
    """A sampler that replaces the repeated points of another sampler by new neighbours.

    Genetic samplers such as NSGA-II often propose duplicates if each axis has few options: parents
    are similar, so that a crossover gives one of them, and more than a third of the children have
    no mutation.

    Parameters
    ----------
    inner : BaseSampler
    axes : sequence of Axis
    known : collection of Items
        Points that were drawn before.
    seed : int
        Seed of the replacements.
    """

    def __init__(
        self, inner: BaseSampler, axes: Sequence[Axis], known: Collection[Items], seed: int
    ) -> None:
        self.inner, self.axes, self.known, self.seed = inner, axes, known, seed

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return all axes, including those that the other sampler draws one by one."""
        return {axis.name: CategoricalDistribution(axis.options) for axis in self.axes}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Draw a point; a new one if there is one nearby."""
        own = self.inner.infer_relative_search_space(study, trial)
        together = self.inner.sample_relative(study, trial, own)
        point = {
            name: together[name]
            if name in together
            else self.inner.sample_independent(study, trial, name, distribution)
            for name, distribution in search_space.items()
        }
        return find_new_neighbour(point, self.axes, self.known, np.random.default_rng(self.seed))

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
        """Pass the result to the other sampler."""
        self.inner.after_trial(study, trial, state, values)


def items_of(point: SearchPoint) -> Items:
    """Return a point as a set."""
    return frozenset(point.items())


def find_new_neighbour(
    point: SearchPoint, axes: Sequence[Axis], known: Collection[Items], rng: np.random.Generator
) -> dict[str, Label]:
    """Find a new point: the given one, one that differs in one axis, or one at the end of a walk.

    Parameters
    ----------
    point : SearchPoint
    axes : sequence of Axis
    known : collection of Items
    rng : numpy.random.Generator

    Returns
    -------
    dict of str to Label
        The given point if a random walk of at most 64 steps finds no new one.
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
        fresh = [neighbour for neighbour in around if items_of(neighbour) not in known]
        if not around:
            break
        choices = fresh or around
        here = choices[int(rng.integers(len(choices)))]
    return dict(point)
