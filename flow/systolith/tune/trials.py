"""The trials of a study in Optuna's storage: asked in batches, reported after each batch."""

import json
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from systolith.config import ObjectiveName, SamplerName
from systolith.foundation import UsageError
from systolith.tune.objectives import MAXIMIZED
from systolith.tune.samplers import Items, items_of, make_sampler
from systolith.tune.space import DesignSpace, Label, SearchPoint

__all__ = ["Trial", "TrialState", "Trials"]

BATCH, DONE, OUTCOME, ORIGIN, SETTINGS = "batch", "batches", "outcome", "origin", "settings"
ACCURACIES, KEYS, REASON, HISTORY, SECONDS = "accuracies", "keys", "reason", "history", "seconds"

Trial = FrozenTrial


class Trials:
    """The trials of a study.

    A batch counts once all its trials are reported. An interrupted study resumes within its batch
    and asks for the same points as an uninterrupted one.

    Parameters
    ----------
    space : DesignSpace
    storage : str
        URL of the storage.
    name : str
        Name of the study.
    settings : str
        Hash of everything that decides the results of the study.
    seed : int
    sampler : SamplerName

    Raises
    ------
    UsageError
        If the store cannot be opened, or has another study of this name.
    """

    def __init__(
        self,
        space: DesignSpace,
        storage: str,
        *,
        name: str,
        settings: str,
        seed: int,
        sampler: SamplerName,
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.space, self.seed, self.sampler = space, seed, sampler
        self._items: dict[int, Items] = {}
        objectives = space.section.objectives
        try:
            self.study = optuna.create_study(
                storage=storage,
                study_name=name,
                directions=[_direction(objective) for objective in objectives],
                load_if_exists=True,
            )
        except Exception as error:  # database drivers raise errors of their own
            raise UsageError(f"the study cannot be kept in {storage}: {error}") from error
        if self.study.user_attrs.setdefault(SETTINGS, settings) != settings:
            raise UsageError(
                f"{storage} has a study '{name}' of other settings, another model or other data; "
                "choose another folder with --output, or remove that one"
            )
        self.study.set_user_attr(SETTINGS, settings)

    @property
    def batches(self) -> int:
        """Number of finished batches."""
        return int(self.study.user_attrs.get(DONE, 0))

    @property
    def complete(self) -> list[Trial]:
        """Trials that were trained completely."""
        return self.of(TrialState.COMPLETE)

    def of(self, *states: TrialState) -> list[Trial]:
        """Return the trials in some states; by default all."""
        return self.study.get_trials(deepcopy=False, states=states or None)

    @property
    def asked(self) -> list[Trial]:
        """Trials that have a point."""
        return [trial for trial in self.of() if trial.state is not TrialState.WAITING]

    def in_batch(self, number: int) -> list[Trial]:
        """Return the trials of an unfinished batch, in order."""
        return [trial for trial in self.asked if trial.user_attrs.get(BATCH, number) == number]

    def before(self, number: int) -> list[Trial]:
        """Return the trials of earlier batches that were trained completely."""
        return [trial for trial in self.complete if trial.user_attrs[BATCH] < number]

    def ask(
        self,
        batch: int,
        population: int,
        fixed: tuple[str, SearchPoint] | None = None,
        *,
        by_chance: bool = False,
    ) -> Trial:
        """Draw a point for a batch, or take a given one, which comes with its origin."""
        if fixed is not None:
            origin, point = fixed
            self.study.enqueue_trial(dict(point), user_attrs={ORIGIN: origin})
        known = self._known_points()
        sampler = SamplerName.RANDOM if by_chance else self.sampler
        self.study.sampler = make_sampler(
            sampler, self.seed, len(self.of()), population, self.space.axes, known
        )
        trial = self.study.ask(fixed_distributions=self._distributions)
        trial.set_user_attr(BATCH, batch)
        return self.of()[trial.number]

    def _known_points(self) -> set[Items]:
        """Return the points of all trials so far."""
        for trial in self.asked:
            if trial.number not in self._items:
                self._items[trial.number] = items_of(point_of(trial))
        return set(self._items.values())

    @property
    def waiting(self) -> bool:
        """Whether a given point is not asked for yet."""
        return bool(self.of(TrialState.WAITING))

    @property
    def _distributions(self) -> dict[str, BaseDistribution]:
        return {axis.name: CategoricalDistribution(axis.options) for axis in self.space.axes}

    def note(self, trial: Trial, **attributes: Any) -> None:
        """Store attributes with a trial."""
        handle = optuna.trial.Trial(self.study, trial._trial_id)
        for name, value in attributes.items():
            handle.set_user_attr(name, value)

    def drop(self, trial: Trial, outcome: str, keys: Sequence[str] = ()) -> None:
        """End a trial without values: infeasible, repeated, or screened out."""
        if trial.state is TrialState.RUNNING:
            self.note(trial, **{OUTCOME: outcome, KEYS: list(keys)})
            self.study.tell(trial.number, state=TrialState.PRUNED)

    def fail(self, trial: Trial, reason: str) -> None:
        """End a trial that could not be trained."""
        if trial.state is TrialState.RUNNING:
            self.note(trial, **{OUTCOME: "failed", REASON: reason})
            self.study.tell(trial.number, state=TrialState.FAIL)

    def tell(
        self,
        trial: Trial,
        values: Sequence[float],
        *,
        broken: Mapping[str, float],
        accuracies: Sequence[float],
        keys: Sequence[str],
    ) -> None:
        """End a trial with a value per objective, and the share by which each limit is exceeded."""
        if trial.state is TrialState.RUNNING:
            noted = {ACCURACIES: list(accuracies), KEYS: list(keys)}
            self.note(trial, **noted, **{OUTCOME: "complete"})
            handle = optuna.trial.Trial(self.study, trial._trial_id)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # an interrupted study has set it before
                for name, share in broken.items():
                    handle.set_constraint(name, share)
            self.study.tell(trial.number, list(values))

    def end_batch(self, number: int, seconds: float, entry: Mapping[str, float]) -> None:
        """Finish a batch."""
        history = [*self.history, dict(entry)]
        self.study.set_user_attr(HISTORY, history)
        self.study.set_user_attr(SECONDS, self.seconds + seconds)
        self.study.set_user_attr(DONE, number + 1)

    @property
    def history(self) -> list[dict[str, float]]:
        """The entries of all finished batches."""
        return list(self.study.user_attrs.get(HISTORY, []))[: self.batches]

    @property
    def seconds(self) -> float:
        """Wall-clock time of all batches, in all sessions."""
        return float(self.study.user_attrs.get(SECONDS, 0.0))


def point_of(trial: Trial) -> dict[str, Label]:
    """Return the point of a trial."""
    return dict(trial.params)


def canonical_text(point: SearchPoint) -> str:
    """Write a point as a text that is equal for equal points."""
    return json.dumps(dict(point), sort_keys=True)


def _direction(objective: ObjectiveName) -> StudyDirection:
    return StudyDirection.MAXIMIZE if objective in MAXIMIZED else StudyDirection.MINIMIZE
