"""Optuna's samplers, made anew for each trial from its number: so a resumed study goes on alike."""

import hashlib
import warnings
from collections.abc import Collection, Sequence

import optuna
from optuna.samplers import (
    BaseSampler,
    GPSampler,
    NSGAIIISampler,
    NSGAIISampler,
    RandomSampler,
    TPESampler,
)

from systolith.config import SamplerName
from systolith.tune.repeats import Items, Unrepeated
from systolith.tune.space import Axis

__all__ = ["sampler_for"]

LEAST_POPULATION = 2
"""Of a generation that has parents; smaller batches are joined to such."""


def sampler_for(
    name: SamplerName,
    seed: int,
    number: int,
    batch: int,
    axes: Sequence[Axis],
    known: Collection[Items],
) -> BaseSampler:
    """Make the sampler of one trial, which draws nothing that is known if it can.

    Parameters
    ----------
    name : SamplerName
    seed : int
        Of the study.
    number : int
        Of the trial.
    batch : int
        Points that are trained together: a generation, for those that have any.
    axes : sequence of Axis
        Of the space.
    known : collection of Items
        Points that were drawn before.
    """
    digest = hashlib.sha256(f"{seed} {number}".encode()).digest()
    own, changes = (int.from_bytes(digest[at : at + 4], "big") for at in (0, 4))
    return Unrepeated(_sampler(name, own, batch), axes, known, changes)


def _sampler(name: SamplerName, own: int, batch: int) -> BaseSampler:
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
