"""Optuna's samplers, made anew for each trial from its number: so a resumed study goes on alike."""

import hashlib
import warnings

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

__all__ = ["sampler_for"]


def sampler_for(name: SamplerName, seed: int, number: int, batch: int) -> BaseSampler:
    """Make the sampler of one trial.

    Parameters
    ----------
    name : SamplerName
    seed : int
        Of the study.
    number : int
        Of the trial.
    batch : int
        Points that are trained together: a generation, for those that have any.
    """
    digest = hashlib.sha256(f"{seed} {number}".encode()).digest()
    own = int.from_bytes(digest[:4], "big")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        match name:
            case SamplerName.NSGA2:
                return NSGAIISampler(population_size=batch, seed=own)
            case SamplerName.NSGA3:
                return NSGAIIISampler(population_size=batch, seed=own)
            case SamplerName.TPE:
                return TPESampler(seed=own, n_startup_trials=batch, constant_liar=True)
            case SamplerName.GP:
                return GPSampler(seed=own, n_startup_trials=batch)
            case SamplerName.RANDOM:
                return RandomSampler(seed=own)
