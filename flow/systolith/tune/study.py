"""The search: batches of points are drawn, screened, trained in rounds, and told to the sampler."""

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from systolith.config import Experiment, merged
from systolith.foundation import UsageError
from systolith.stages import make_model
from systolith.stages.keys import join_inputs
from systolith.stages.keys.training import TrainingInputs
from systolith.tune.dense import Heard, train_dense
from systolith.tune.designs import Design, Designs
from systolith.tune.fronts import Scale, most_promising
from systolith.tune.limits import check_search
from systolith.tune.measuring import (
    Measurement,
    TrainTask,
    dense_model,
    judged_data,
    measure,
    measured_before,
)
from systolith.tune.model import HardwareModel
from systolith.tune.objectives import Values, breaks, losses
from systolith.tune.sensitivity import Sensitivity, points_alone
from systolith.tune.space import DENSE, Label, Point, Space
from systolith.tune.surrogate import AccuracySurrogate
from systolith.tune.trials import Trial, Trials, point_of, same
from systolith.tune.workers import Failure, Workers

__all__ = ["Heard", "Study"]

EXPECTED = -1
"""Level before the first fidelity."""
TRIES = 4
"""Times as many points as are wanted that are drawn, before a space counts as searched."""

Told = Callable[[Sequence[Design]], None]
"""Hears of the front after each batch."""


@dataclass(slots=True, kw_only=True)
class _Candidate:
    trial: Trial
    point: dict[str, Label]
    accuracies: list[float]
    keys: list[str]


class Study:
    """A search in a folder, which it goes on with if there is one already.

    Parameters
    ----------
    content : mapping
        Of the experiment file, with a [tune] section.
    experiment : Experiment
        The same, checked.
    base : Path
        Folder of the experiment file.
    folder : Path
        Where results go.
    workers : Workers
    storage : str, optional
        URL of Optuna's store; by default SQLite in the folder.
    heard : callable, optional
        Hears of progress.

    Raises
    ------
    UsageError
        If [tune] does not fit the model, or the folder has another study.
    """

    def __init__(
        self,
        content: Mapping[str, Any],
        experiment: Experiment,
        base: Path,
        folder: Path,
        workers: Workers,
        *,
        storage: str | None = None,
        heard: Heard | None = None,
    ) -> None:
        self.content, self.experiment, self.base = content, experiment, base
        self.folder, self.workers = folder, workers
        self.heard: Heard = heard or (lambda what, done, total: None)
        self.told: Told = lambda front: None
        self.space = Space.of(experiment, make_model(experiment.model, experiment.seed, base))
        self.section = self.space.section
        folder.mkdir(parents=True, exist_ok=True)
        self.results = folder / "evaluations"
        self.trials = Trials(
            self.space,
            storage or f"sqlite:///{folder / 'study.db'}",
            name=experiment.name,
            settings=self._settings,
            seed=self.section.seed,
            sampler=self.section.sampler,
        )

    def run(self, *, settle: bool = True) -> None:
        """Search until enough points are trained, time is up, or nothing new is found.

        At the end the planner is asked about the front, unless `settle` is false.
        """
        if not self.weights.exists():
            data = judged_data(self.experiment, self.base)
            check_search(self.space, self._fresh_model, data)
        train_dense(self.experiment, self.base, self.weights, self.heard)
        begun = time.monotonic() - self.trials.seconds
        limit = None if self.section.minutes is None else 60 * self.section.minutes
        while len(self.trials.complete) < self.section.points:
            if limit is not None and time.monotonic() - begun > limit:
                break
            start, number = time.monotonic(), self.trials.batches
            found = self._batch(number)
            volume = self.designs.hypervolume(exact=False)
            entry = {"evaluations": float(len(self.trials.complete)), "hypervolume": volume}
            self.trials.end_batch(number, time.monotonic() - start, entry)
            self.told(self.designs.front(self.designs.all(exact=False)))
            if not found:
                break
        if settle:
            self.designs.settle(self.workers, self.heard)

    @property
    def weights(self) -> Path:
        """The dense, trained model."""
        return self.folder / "dense" / "weights.safetensors"

    @cached_property
    def model(self) -> nn.Module:
        """The same, ready to run."""
        return dense_model(self.experiment, self.base, self.weights)

    @cached_property
    def hardware(self) -> HardwareModel:
        """What points would take."""
        data = judged_data(self.experiment, self.base)
        return HardwareModel(self.space, self.model, data.calibration_images)

    @cached_property
    def scale(self) -> Scale:
        """The best and the worst of the uniform designs, on all hardware."""
        chance = 1 / judged_data(self.experiment, self.base).classes
        found = []
        for _, software in self.space.uniform:
            for hardware in self.space.hardware_points:
                estimate = self.hardware.estimate({**software, **hardware})
                if estimate is not None:
                    found += [Values.of_estimate(estimate, accuracy) for accuracy in (chance, 1.0)]
        if not found:
            raise UsageError("no hardware of [tune.hardware] holds any uniform design")
        table = self._losses(found)
        return Scale(table.min(axis=0), table.max(axis=0))

    @cached_property
    def designs(self) -> Designs:
        """Every trained point on all hardware."""
        return Designs(self.space, self.hardware, self.trials, self.results, self.scale)

    @cached_property
    def sensitivity(self) -> Sensitivity:
        """What each option alone does, measured once."""
        first, others = points_alone(self.space)
        dense, *found = self._measure([first, *others.values()], 0.0, "sensitivity of each layer")
        if isinstance(dense, Failure):
            raise UsageError(f"the dense model cannot be quantized: {dense.reason}")
        alone = {
            each: result.accuracy
            for each, result in zip(others, found, strict=True)
            if isinstance(result, Measurement)
        }
        return Sensitivity(dense=dense.accuracy, alone=alone)

    @property
    def _settings(self) -> str:
        """All that decides what is found, model and data too, but how long it is searched for."""
        left_out = {"tune": {"points", "minutes", "timeout_seconds"}}
        content = self.experiment.model_dump_json(
            exclude={**left_out, "verify": True, "simulate": True, "build": True}
        )
        data = judged_data(self.experiment, self.base)
        reading = TrainingInputs(self.experiment, self.base, data, self._fresh_model)
        made_of = json.dumps(join_inputs(reading.model, reading.pixels), sort_keys=True)
        return hashlib.sha256((content + made_of).encode()).hexdigest()

    def _fresh_model(self) -> nn.Module:
        return make_model(self.experiment.model, self.experiment.seed, self.base)

    def _batch(self, number: int) -> bool:
        """Draw, screen, train and tell one batch; false if nothing new could be drawn."""
        fixed = self._given() if number == 0 and self.section.warm_start else []
        room = max(self.section.points - len(self.trials.before(number)), 0)
        want = len(fixed) or min(self.section.batch, room)
        drawn = self._drawn(number, want, fixed)
        if not drawn:
            return False
        rounds = len(self.section.fidelities)
        sizes = [want << (rounds - 1 - level) for level in range(rounds)]
        earlier = self.trials.before(number)
        alive = drawn
        if not fixed:
            alive = self._promising(alive, sizes[0], earlier, EXPECTED)
        failed: dict[int, str] = {}
        for level, fidelity in enumerate(self.section.fidelities):
            what = f"{fidelity:.0%} of the training" if fidelity else "masks without training"
            points = [candidate.point for candidate in alive]
            results = self._measure(points, fidelity, f"batch {number}, {what}")
            for candidate, result in zip(alive, results, strict=True):
                if isinstance(result, Failure):
                    failed[candidate.trial.number] = result.reason
                else:
                    candidate.accuracies.append(result.accuracy)
                    candidate.keys.append(result.key)
            alive = [c for c in alive if c.trial.number not in failed]
            if level + 1 < rounds and not fixed:
                alive = self._promising(alive, sizes[level + 1], earlier, level)
        finished = {c.trial.number: c for c in alive}
        for candidate in drawn:
            trial = candidate.trial
            if trial.number in failed:
                self.trials.fail(trial, failed[trial.number])
            elif trial.number not in finished:
                self.trials.drop(trial, "screened", candidate.keys)
            else:
                values = self._values(candidate.point, candidate.accuracies[-1])
                self.trials.tell(
                    trial,
                    [values.of(objective) for objective in self.section.objectives],
                    broken=breaks(values, self.section.limits),
                    accuracies=candidate.accuracies,
                    keys=candidate.keys,
                )
        return True

    def _given(self) -> list[tuple[str, Point]]:
        """The uniform designs, each on the hardware in the middle that holds it."""
        options, found = self.space.hardware_points, list[tuple[str, Point]]()
        order = sorted(range(len(options)), key=lambda n: abs(2 * n - len(options) + 1))
        for name, software in self.space.uniform:
            for hardware in (options[n] for n in order):
                point = {**software, **hardware}
                if self.hardware.estimate(point) is not None:
                    found.append((DENSE if name == DENSE else "uniform", point))
                    break
        return found

    def _drawn(
        self, number: int, want: int, fixed: Sequence[tuple[str, Point]]
    ) -> list[_Candidate]:
        """Ask until there are enough points that hardware can hold, or it has been tried enough."""
        asked = self.trials.in_batch(number)
        mine = {trial.number for trial in asked}
        earlier = {same(point_of(t)) for t in self.trials.asked if t.number not in mine}
        found: list[_Candidate] = []
        wanted = len(fixed) or want * self.section.candidates
        tries = len(fixed) or TRIES * wanted
        place = 0
        while len(found) < wanted and place < tries:
            if place < len(asked):
                trial = asked[place]
            else:
                population = self.section.batch
                given = fixed[place] if fixed else None
                # A sampler that keeps to what no hardware holds is helped by chance.
                by_chance = given is None and place >= tries // 2
                trial = self.trials.ask(number, population, given, by_chance=by_chance)
            place += 1
            point = point_of(trial)
            key = same(point)
            if key in earlier:
                self.trials.drop(trial, "repeated")
            elif self.hardware.estimate(point) is None:
                self.trials.drop(trial, "infeasible")
            else:
                found.append(_Candidate(trial=trial, point=point, accuracies=[], keys=[]))
            earlier.add(key)
            self.heard(f"batch {number}, drawing points", len(found), wanted)
        return found

    def _promising(
        self, candidates: Sequence[_Candidate], count: int, earlier: Sequence[Trial], level: int
    ) -> list[_Candidate]:
        """Keep those that would add most to the front, on all hardware, once they are trained.

        At level EXPECTED little is known but what sensitivity says; others are measured.
        """
        if len(candidates) <= count:
            return list(candidates)
        known = [point_of(trial) for trial in earlier]
        final = [trial.user_attrs["accuracies"][-1] for trial in earlier]
        if level == EXPECTED:
            before = [self.sensitivity.expected(point) for point in known]
            now = [self.sensitivity.expected(each.point) for each in candidates]
        else:
            before = [trial.user_attrs["accuracies"][level] for trial in earlier]
            now = [each.accuracies[level] for each in candidates]
        surrogate = AccuracySurrogate(self.space.axes, known, before, final)
        accuracies = surrogate.accuracies([each.point for each in candidates], now)
        front = [
            row
            for point, accuracy in zip(known, final, strict=True)
            for row in self._on_all_hardware(point, accuracy)
        ]
        found = [
            self._losses(self._on_all_hardware(each.point, accuracy))
            for each, accuracy in zip(candidates, accuracies, strict=True)
        ]
        chosen = most_promising(found, self._losses(front), self.scale, count)
        return [candidates[number] for number in sorted(chosen)]

    def _on_all_hardware(self, point: Point, accuracy: float) -> list[Values]:
        """What a trained point would be on each hardware; within the limits, if that can be."""
        found = []
        for hardware in self.space.hardware_points:
            estimate = self.hardware.estimate({**point, **hardware})
            if estimate is not None:
                found.append(Values.of_estimate(estimate, accuracy))
        limits = self.section.limits
        kept = [each for each in found if max(breaks(each, limits).values(), default=0.0) <= 0]
        return kept or found

    def _measure(
        self, points: Sequence[Point], fidelity: float, what: str
    ) -> list[Measurement | Failure]:
        """Train and judge points, each software once; those that were judged before are found."""
        tasks = [self._task(point, fidelity) for point in points]
        keys = [task.key for task in tasks]
        unique = {key: task for key, task in zip(keys, tasks, strict=True)}
        found: dict[str, Measurement | Failure] = {}
        for key in unique:
            if (before := measured_before(self.results, key)) is not None:
                found[key] = before
        self.heard(what, len(found), len(unique))
        missing = {key: task for key, task in unique.items() if key not in found}
        for key, result in self._results(missing):
            found[key] = result
            self.heard(what, len(found), len(unique))
        return [found[key] for key in keys]

    def _results(
        self, tasks: Mapping[str, TrainTask]
    ) -> Iterator[tuple[str, Measurement | Failure]]:
        keys = list(tasks)
        for number, result in self.workers.run(measure, [(tasks[key], key) for key in keys]):
            if isinstance(result, Measurement) and not np.isfinite(result.accuracy):
                result = Failure(reason=f"its accuracy is {result.accuracy}")
            yield keys[number], result

    def _task(self, point: Point, fidelity: float) -> TrainTask:
        return TrainTask(
            content=merged(self.content, self.space.changes(point, hardware=False)),
            folder=self.base,
            weights=self.weights,
            fidelity=fidelity,
            results=self.results,
            seconds=self.section.timeout_seconds,
        )

    def _values(self, point: Point, accuracy: float) -> Values:
        estimate = self.hardware.estimate(point)
        assert estimate is not None, "only feasible points are trained"
        return Values.of_estimate(estimate, accuracy)

    def _losses(self, values: Sequence[Values]) -> NDArray[np.float64]:
        return losses(values, self.section.objectives)
