"""The search: draws batches of points, screens them, trains them in rounds, tells the sampler."""

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

from systolith.config import Experiment, merge_tables
from systolith.foundation import Progress, ProgressCallback, UsageError, no_progress
from systolith.stages.keys import join_inputs
from systolith.stages.keys.training import TrainingInputs
from systolith.stages.software.factories import make_model, make_teacher
from systolith.tune.design_points import DesignPoint, DesignPoints
from systolith.tune.fronts import LossScale, most_promising
from systolith.tune.limits import check_search
from systolith.tune.measuring import (
    Measurement,
    TrainTask,
    dense_model,
    load_judged_data,
    measure,
    read_measurement,
    train_dense,
)
from systolith.tune.model import HardwareModel
from systolith.tune.objectives import Values, losses, measure_violations
from systolith.tune.space import DENSE, DesignSpace, Label, SearchPoint
from systolith.tune.surrogate import AccuracySurrogate, Sensitivity, list_single_changes
from systolith.tune.trials import Trial, Trials, canonical_text, point_of
from systolith.tune.workers import FailedTask, Workers

__all__ = ["FrontCallback", "Study"]

EXPECTED = -1
"""Level before the first fidelity, at which accuracies are predicted."""
TRIES = 4
"""A space counts as exhausted after this multiple of the wanted points is drawn."""

FrontCallback = Callable[[Sequence[DesignPoint]], None]
"""Called with the front after each batch."""


@dataclass(slots=True, kw_only=True)
class _DrawnPoint:
    trial: Trial
    point: dict[str, Label]
    accuracies: list[float]
    keys: list[str]


class Study:
    """A search in a folder; it resumes an earlier search there.

    Parameters
    ----------
    content : mapping
        Content of the experiment file, with a [tune] section.
    experiment : Experiment
        The experiment of this content.
    base : Path
        Folder of the experiment file.
    folder : Path
        For results.
    workers : Workers
    storage : str, optional
        URL of Optuna's storage; by default SQLite in the folder.
    progress : ProgressCallback, optional

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
        progress: ProgressCallback = no_progress,
    ) -> None:
        self.content, self.experiment, self.base = content, experiment, base
        self.folder, self.workers = folder, workers
        self.progress = progress
        self.on_front: FrontCallback = lambda front: None
        self.space = DesignSpace.of(experiment, make_model(experiment.model, experiment.seed, base))
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

    def run(self, *, plan_front: bool = True) -> None:
        """Search until enough points are trained, time is up, or no new point can be drawn.

        At the end the designs of the front are planned, unless `plan_front` is false.
        """
        if not self.weights.exists():
            data = load_judged_data(self.experiment, self.base)
            check_search(self.space, self._fresh_model, data, self.base)
        train_dense(self.experiment, self.base, self.weights, self.progress)
        begun = time.monotonic() - self.trials.seconds
        limit = None if self.section.minutes is None else 60 * self.section.minutes
        while len(self.trials.complete) < self.section.points:
            if limit is not None and time.monotonic() - begun > limit:
                break
            start, number = time.monotonic(), self.trials.batches
            has_points = self._run_batch(number)
            volume = self.designs.hypervolume(exact=False)
            entry = {"evaluations": float(len(self.trials.complete)), "hypervolume": volume}
            self.trials.end_batch(number, time.monotonic() - start, entry)
            self.on_front(self.designs.front(self.designs.all(exact=False)))
            if not has_points:
                break
        if plan_front:
            self.designs.plan_front(self.workers, self.progress)

    @property
    def weights(self) -> Path:
        """File with the weights of the dense, trained model."""
        return self.folder / "dense" / "weights.safetensors"

    @cached_property
    def model(self) -> nn.Module:
        """The dense, trained model."""
        return dense_model(self.experiment, self.base, self.weights)

    @cached_property
    def hardware(self) -> HardwareModel:
        """Estimates of the hardware of points."""
        data = load_judged_data(self.experiment, self.base)
        return HardwareModel(self.space, self.model, data.calibration_images)

    @cached_property
    def scale(self) -> LossScale:
        """Scale from the best to the worst of the uniform designs, on all hardware."""
        chance = 1 / load_judged_data(self.experiment, self.base).classes
        extremes: list[Values] = []
        for _, software in self.space.uniform:
            for hardware in self.space.hardware_points:
                estimate = self.hardware.estimate({**software, **hardware})
                if estimate is not None:
                    extremes += [
                        Values.of_estimate(estimate, accuracy) for accuracy in (chance, 1.0)
                    ]
        if not extremes:
            raise UsageError("no hardware of [tune.hardware] holds any uniform design")
        table = self._losses(extremes)
        return LossScale(table.min(axis=0), table.max(axis=0))

    @cached_property
    def designs(self) -> DesignPoints:
        """All designs."""
        return DesignPoints(self.space, self.hardware, self.trials, self.results, self.scale)

    @cached_property
    def sensitivity(self) -> Sensitivity:
        """Effect of each option alone."""
        first, others = list_single_changes(self.space)
        dense, *changed = self._measure([first, *others.values()], 0.0, "sensitivity of each layer")
        if isinstance(dense, FailedTask):
            raise UsageError(f"the dense model cannot be quantized: {dense.reason}")
        by_option = {
            option: result.accuracy
            for option, result in zip(others, changed, strict=True)
            if isinstance(result, Measurement)
        }
        return Sensitivity(dense=dense.accuracy, by_option=by_option)

    @property
    def _settings(self) -> str:
        """Hash of everything that decides the results, except the length of the search."""
        left_out = {"tune": {"points", "minutes", "timeout_seconds"}}
        content = self.experiment.model_dump_json(
            exclude={**left_out, "verify": True, "simulate": True, "build": True}
        )
        data = load_judged_data(self.experiment, self.base)
        reading = TrainingInputs(
            self.experiment,
            self.base,
            data,
            self._fresh_model,
            lambda: make_teacher(self.experiment, data, self.base),
        )
        inputs = join_inputs(reading.model, reading.pixels, reading.teacher)
        made_of = json.dumps(inputs, sort_keys=True)
        return hashlib.sha256((content + made_of).encode()).hexdigest()

    def _fresh_model(self) -> nn.Module:
        return make_model(self.experiment.model, self.experiment.seed, self.base)

    def _run_batch(self, number: int) -> bool:
        """Draw, screen, train and tell one batch; return whether a new point could be drawn."""
        fixed = self._warm_start_points() if number == 0 and self.section.warm_start else []
        room = max(self.section.points - len(self.trials.before(number)), 0)
        want = len(fixed) or min(self.section.batch, room)
        drawn = self._draw(number, want, fixed)
        if not drawn:
            return False
        rounds = len(self.section.fidelities)
        sizes = [want << (rounds - 1 - level) for level in range(rounds)]
        earlier = self.trials.before(number)
        alive = drawn
        if not fixed:
            alive = self._select_promising(alive, sizes[0], earlier, EXPECTED)
        failed: dict[int, str] = {}
        for level, fidelity in enumerate(self.section.fidelities):
            what = f"{fidelity:.0%} of the training" if fidelity else "masks without training"
            points = [candidate.point for candidate in alive]
            results = self._measure(points, fidelity, f"batch {number}, {what}")
            for candidate, result in zip(alive, results, strict=True):
                if isinstance(result, FailedTask):
                    failed[candidate.trial.number] = result.reason
                else:
                    candidate.accuracies.append(result.accuracy)
                    candidate.keys.append(result.key)
            alive = [c for c in alive if c.trial.number not in failed]
            if level + 1 < rounds and not fixed:
                alive = self._select_promising(alive, sizes[level + 1], earlier, level)
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
                    broken=measure_violations(values, self.section.limits),
                    accuracies=candidate.accuracies,
                    keys=candidate.keys,
                )
        return True

    def _warm_start_points(self) -> list[tuple[str, SearchPoint]]:
        """List the uniform designs, each on the middlemost hardware that holds it."""
        options, points = self.space.hardware_points, list[tuple[str, SearchPoint]]()
        order = sorted(range(len(options)), key=lambda n: abs(2 * n - len(options) + 1))
        for name, software in self.space.uniform:
            for hardware in (options[n] for n in order):
                point = {**software, **hardware}
                if self.hardware.estimate(point) is not None:
                    points.append((DENSE if name == DENSE else "uniform", point))
                    break
        return points

    def _draw(
        self, number: int, want: int, fixed: Sequence[tuple[str, SearchPoint]]
    ) -> list[_DrawnPoint]:
        """Draw points until enough of them fit the hardware, or enough attempts were made."""
        asked = self.trials.in_batch(number)
        mine = {trial.number for trial in asked}
        earlier = {canonical_text(point_of(t)) for t in self.trials.asked if t.number not in mine}
        points: list[_DrawnPoint] = []
        wanted = len(fixed) or want * self.section.candidates
        tries = len(fixed) or TRIES * wanted
        place = 0
        while len(points) < wanted and place < tries:
            if place < len(asked):
                trial = asked[place]
            else:
                population = self.section.batch
                given = fixed[place] if fixed else None
                # Random points help a sampler that only proposes points that fit no hardware.
                by_chance = given is None and place >= tries // 2
                trial = self.trials.ask(number, population, given, by_chance=by_chance)
            place += 1
            point = point_of(trial)
            key = canonical_text(point)
            if key in earlier:
                self.trials.drop(trial, "repeated")
            elif self.hardware.estimate(point) is None:
                self.trials.drop(trial, "infeasible")
            else:
                points.append(_DrawnPoint(trial=trial, point=point, accuracies=[], keys=[]))
            earlier.add(key)
            self._report(f"batch {number}, drawing points", len(points), wanted)
        return points

    def _select_promising(
        self, candidates: Sequence[_DrawnPoint], count: int, earlier: Sequence[Trial], level: int
    ) -> list[_DrawnPoint]:
        """Keep the points that are predicted to add most to the front, on all hardware.

        At level EXPECTED, sensitivities predict the accuracy; at other levels it is measured.
        """
        if len(candidates) <= count:
            return list(candidates)
        known = [point_of(trial) for trial in earlier]
        final = [trial.user_attrs["accuracies"][-1] for trial in earlier]
        if level == EXPECTED:
            before = [self.sensitivity.expected(point) for point in known]
            now = [self.sensitivity.expected(drawn.point) for drawn in candidates]
        else:
            before = [trial.user_attrs["accuracies"][level] for trial in earlier]
            now = [drawn.accuracies[level] for drawn in candidates]
        surrogate = AccuracySurrogate(self.space.axes, known, before, final)
        accuracies = surrogate.predict([drawn.point for drawn in candidates], now)
        front = [
            row
            for point, accuracy in zip(known, final, strict=True)
            for row in self._on_all_hardware(point, accuracy)
        ]
        predicted = [
            self._losses(self._on_all_hardware(drawn.point, accuracy))
            for drawn, accuracy in zip(candidates, accuracies, strict=True)
        ]
        chosen = most_promising(predicted, self._losses(front), self.scale, count)
        return [candidates[number] for number in sorted(chosen)]

    def _on_all_hardware(self, point: SearchPoint, accuracy: float) -> list[Values]:
        """Estimate a point on each hardware; only those within the limits, if there are any."""
        designs = []
        for hardware in self.space.hardware_points:
            estimate = self.hardware.estimate({**point, **hardware})
            if estimate is not None:
                designs.append(Values.of_estimate(estimate, accuracy))
        limits = self.section.limits
        kept = [
            values
            for values in designs
            if max(measure_violations(values, limits).values(), default=0.0) <= 0
        ]
        return kept or designs

    def _measure(
        self, points: Sequence[SearchPoint], fidelity: float, what: str
    ) -> list[Measurement | FailedTask]:
        """Measure points; equal software is trained once, and earlier measurements are read."""
        tasks = [self._task(point, fidelity) for point in points]
        keys = [task.key for task in tasks]
        unique = {key: task for key, task in zip(keys, tasks, strict=True)}
        results: dict[str, Measurement | FailedTask] = {}
        for key in unique:
            if (before := read_measurement(self.results, key)) is not None:
                results[key] = before
        self._report(what, len(results), len(unique))
        missing = {key: task for key, task in unique.items() if key not in results}
        for key, result in self._run_tasks(missing):
            results[key] = result
            self._report(what, len(results), len(unique))
        return [results[key] for key in keys]

    def _report(self, task: str, done: int, total: int) -> None:
        self.progress(Progress(task=task, done=done, total=total))

    def _run_tasks(
        self, tasks: Mapping[str, TrainTask]
    ) -> Iterator[tuple[str, Measurement | FailedTask]]:
        keys = list(tasks)
        for number, result in self.workers.run(measure, [(tasks[key], key) for key in keys]):
            if isinstance(result, Measurement) and not np.isfinite(result.accuracy):
                result = FailedTask(reason=f"its accuracy is {result.accuracy}")
            yield keys[number], result

    def _task(self, point: SearchPoint, fidelity: float) -> TrainTask:
        return TrainTask(
            content=merge_tables(self.content, self.space.changes(point, hardware=False)),
            folder=self.base,
            weights=self.weights,
            fidelity=fidelity,
            results=self.results,
            seconds=self.section.timeout_seconds,
        )

    def _values(self, point: SearchPoint, accuracy: float) -> Values:
        estimate = self.hardware.estimate(point)
        assert estimate is not None, "only feasible points are trained"
        return Values.of_estimate(estimate, accuracy)

    def _losses(self, values: Sequence[Values]) -> NDArray[np.float64]:
        return losses(values, self.section.objectives)
