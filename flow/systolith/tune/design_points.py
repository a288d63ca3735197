"""Designs: trained points, each on all hardware of the space."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from systolith.foundation import Progress, ProgressCallback
from systolith.tune.fronts import LossScale, front_of
from systolith.tune.measuring import Layout, PlanTask, plan_exactly
from systolith.tune.model import Estimate, HardwareModel, clock_of
from systolith.tune.objectives import Values, losses, measure_violations
from systolith.tune.space import DesignSpace, Label
from systolith.tune.trials import Trial, Trials, point_of
from systolith.tune.workers import FailedTask, Workers

__all__ = ["DesignPoint", "DesignPoints"]

PLANNING = "planning the front"


@dataclass(frozen=True, slots=True, kw_only=True)
class DesignPoint:
    """A trained point on one hardware.

    Attributes
    ----------
    trial : int
        Number of the trial that trained it.
    hardware : int
        Index in ``hardware_points`` of the space.
    origin : str
        ``search``, ``uniform`` or ``dense``.
    key : str
        Key of the measurement.
    point : dict
    values : Values
    layout : Layout or None
        None as long as the design is estimated, not planned.
    feasible : bool
        Whether the design keeps all limits.
    """

    trial: int
    hardware: int
    origin: str
    key: str
    point: dict[str, Label]
    values: Values
    layout: Layout | None
    feasible: bool

    @property
    def name(self) -> str:
        """Name in tables and commands, such as ``12.0``."""
        return f"{self.trial}.{self.hardware}"


class DesignPoints:
    """All designs of a study.

    Accuracy does not depend on the hardware, so each trained point gives one design for each
    hardware of the space. Cycles and resources are estimates until :meth:`plan_front` plans the
    designs of the front.

    Parameters
    ----------
    space : DesignSpace
    model : HardwareModel
    trials : Trials
    results : Path
        Folder of the measurements.
    scale : LossScale
    """

    def __init__(
        self,
        space: DesignSpace,
        model: HardwareModel,
        trials: Trials,
        results: Path,
        scale: LossScale,
    ) -> None:
        self.space, self.model, self.trials = space, model, trials
        self.results, self.scale = results, scale
        self._layouts: dict[tuple[str, int], Layout | None] = {}

    def all(self, *, exact: bool = True) -> list[DesignPoint]:
        """List all designs; if `exact`, planned results replace estimates where there are any."""
        designs: dict[tuple[str, int], DesignPoint] = {}
        for trial in self.trials.complete:
            key = trial.user_attrs["keys"][-1]
            for number in range(len(self.space.hardware_points)):
                if (key, number) in designs:
                    continue
                design = self._design(trial, key, number, exact)
                if design is not None:
                    designs[key, number] = design
        return list(designs.values())

    def front(self, designs: Sequence[DesignPoint]) -> list[DesignPoint]:
        """Choose the designs that keep the limits and that no other such design dominates."""
        kept = [design for design in designs if design.feasible]
        return [kept[number] for number in front_of(self.losses(kept))]

    def hypervolume(self, *, exact: bool = True) -> float:
        """Compute the share of the space's volume that the front dominates."""
        return self.volume_of(self.all(exact=exact))

    def volume_of(self, designs: Sequence[DesignPoint]) -> float:
        """Compute the share of the space's volume that the front of some designs dominates."""
        return self.scale.hypervolume(self.losses(self.front(designs)))

    def plan_front(self, workers: Workers, progress: ProgressCallback) -> None:
        """Plan the designs of the front, until every design of the resulting front is planned."""
        while True:
            estimated = [design for design in self.front(self.all()) if design.layout is None]
            if not estimated:
                return
            tasks = [self._task(design.key, design.hardware) for design in estimated]
            done = 0
            progress(Progress(task=PLANNING, done=0, total=len(tasks)))
            for number, result in workers.run(plan_exactly, tasks):
                layout = None if isinstance(result, FailedTask) else result
                design = estimated[number]
                self._layouts[design.key, design.hardware] = layout
                done += 1
                progress(Progress(task=PLANNING, done=done, total=len(tasks)))

    def _task(self, key: str, number: int) -> PlanTask:
        point = self.space.hardware_points[number]
        return PlanTask(results=self.results, key=key, hardware=self.space.hardware(point))

    def _design(self, trial: Trial, key: str, number: int, exact: bool) -> DesignPoint | None:
        point = {**point_of(trial), **self.space.hardware_points[number]}
        estimate, layout = self.model.estimate(point), None
        if estimate is None:
            return None
        if exact and self._is_planned(key, number):
            layout = self._layouts[key, number]
            if layout is None:
                return None
            clock = clock_of(self.space.hardware(point), layout.resources)
            estimate = Estimate(
                cycles=layout.cycles,
                latency_cycles=layout.latency_cycles,
                clock_mhz=clock,
                resources=layout.resources,
                model_bits=estimate.model_bits,
            )
        values = Values.of_estimate(estimate, trial.user_attrs["accuracies"][-1])
        violations = measure_violations(values, self.space.section.limits)
        return DesignPoint(
            trial=trial.number,
            hardware=number,
            origin=trial.user_attrs.get("origin", "search"),
            key=key,
            point=point,
            values=values,
            layout=layout,
            feasible=max(violations.values(), default=0.0) <= 0,
        )

    def _is_planned(self, key: str, number: int) -> bool:
        """Whether the design was planned, in this session or an earlier one."""
        if (key, number) not in self._layouts and (task := self._task(key, number)).path.exists():
            self._layouts[key, number] = plan_exactly(task)
        return (key, number) in self._layouts

    def losses(self, designs: Sequence[DesignPoint]) -> NDArray[np.float64]:
        """Return the objectives as losses, shape (designs, objectives)."""
        return losses([design.values for design in designs], self.space.section.objectives)
