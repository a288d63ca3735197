"""Optuna's samplers, made anew for each trial from its number: so a resumed study goes on alike."""

import hashlib
import warnings
from collections.abc import Sequence

import optuna
from optuna.samplers import (
    BaseSampler,
    GPSampler,
    NSGAIIISampler,
    NSGAIISampler,
    RandomSampler,
    TPESampler,
)
from optuna.trial import FrozenTrial

from systolith.config import SamplerName

__all__ = ["BROKEN", "sampler_for"]

BROKEN = "broken limits"
"""Attribute of a trial: by what share it breaks each limit."""


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
                return NSGAIISampler(population_size=batch, seed=own, constraints_func=_broken)
            case SamplerName.NSGA3:
                return NSGAIIISampler(population_size=batch, seed=own, constraints_func=_broken)
            case SamplerName.TPE:
                return TPESampler(
                    seed=own, n_startup_trials=batch, constraints_func=_broken, constant_liar=True
                )
            case SamplerName.GP:
                return GPSampler(seed=own, n_startup_trials=batch, constraints_func=_broken)
            case SamplerName.RANDOM:
                return RandomSampler(seed=own)


def _broken(trial: FrozenTrial) -> Sequence[float]:
    found: list[float] = trial.user_attrs.get(BROKEN, [])
    return found
