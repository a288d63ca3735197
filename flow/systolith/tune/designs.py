"""Trained points on every hardware of the space: one training, many designs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from systolith.tune.fronts import Scale, front_of
from systolith.tune.measuring import Layout, PlanTask, plan_exactly
from systolith.tune.model import Estimate, HardwareModel, clock_of
from systolith.tune.objectives import Values, breaks, losses
from systolith.tune.space import Label, Space
from systolith.tune.trials import Trial, Trials, point_of
from systolith.tune.workers import Failure, Workers

__all__ = ["Design", "Designs"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """A trained point on some hardware.

    Attributes
    ----------
    trial : int
        Which trained it.
    hardware : int
        Number of the hardware among those of the space.
    origin : str
        ``search``, ``uniform`` or ``dense``.
    key : str
        Of the measurement.
    point : dict
    values : Values
    layout : Layout or None
        The planner's; None if it has not been asked yet.
    feasible : bool
        Whether all limits are kept.
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
        """How people ask for it."""
        return f"{self.trial}.{self.hardware}"


class Designs:
    """All designs of a study.

    What training finds does not depend on the hardware. So each trained point is looked at on all
    hardware of the space. Hardware is estimated, until the planner has been asked; that is done
    for those that matter, see :meth:`settle`.

    Parameters
    ----------
    space : Space
    model : HardwareModel
    trials : Trials
    results : Path
        Folder of measurements.
    scale : Scale
    """

    def __init__(
        self, space: Space, model: HardwareModel, trials: Trials, results: Path, scale: Scale
    ) -> None:
        self.space, self.model, self.trials = space, model, trials
        self.results, self.scale = results, scale
        self._layouts: dict[tuple[str, int], Layout | None] = {}

    def all(self, *, exact: bool = True) -> list[Design]:
        """Every design; with what the planner has said where it was asked, unless not `exact`."""
        found: dict[tuple[str, int], Design] = {}
        for trial in self.trials.complete:
            key = trial.user_attrs["keys"][-1]
            for number in range(len(self.space.hardware_points)):
                if (key, number) in found:
                    continue
                design = self._design(trial, key, number, exact)
                if design is not None:
                    found[key, number] = design
        return list(found.values())

    def front(self, designs: Sequence[Design]) -> list[Design]:
        """Those that keep the limits, and that no other of these beats."""
        kept = [design for design in designs if design.feasible]
        return [kept[number] for number in front_of(self.losses(kept))]

    def hypervolume(self, *, exact: bool = True) -> float:
        """Share of the space's volume that the front dominates."""
        return self.volume_of(self.all(exact=exact))

    def volume_of(self, designs: Sequence[Design]) -> float:
        """The same of some designs."""
        return self.scale.hypervolume(self.losses(self.front(designs)))

    def settle(self, workers: Workers, heard: Callable[[str, int, int], None]) -> None:
        """Ask the planner about the front, until all of what is then the front is exact."""
        while True:
            open_ = [design for design in self.front(self.all()) if design.layout is None]
            if not open_:
                return
            tasks = [self._task(design.key, design.hardware) for design in open_]
            done = 0
            heard("planning the front", 0, len(tasks))
            for number, result in workers.run(plan_exactly, tasks):
                layout = None if isinstance(result, Failure) else result
                self._layouts[open_[number].key, open_[number].hardware] = layout
                done += 1
                heard("planning the front", done, len(tasks))

    def _task(self, key: str, number: int) -> PlanTask:
        point = self.space.hardware_points[number]
        return PlanTask(results=self.results, key=key, hardware=self.space.hardware(point))

    def _design(self, trial: Trial, key: str, number: int, exact: bool) -> Design | None:
        point = {**point_of(trial), **self.space.hardware_points[number]}
        estimate, layout = self.model.estimate(point), None
        if estimate is None:
            return None
        if exact and self._asked(key, number):
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
        return Design(
            trial=trial.number,
            hardware=number,
            origin=trial.user_attrs.get("origin", "search"),
            key=key,
            point=point,
            values=values,
            layout=layout,
            feasible=max(breaks(values, self.space.section.limits).values(), default=0.0) <= 0,
        )

    def _asked(self, key: str, number: int) -> bool:
        """Whether the planner has been asked, in this session or an earlier one."""
        if (key, number) not in self._layouts and (task := self._task(key, number)).path.exists():
            self._layouts[key, number] = plan_exactly(task)
        return (key, number) in self._layouts

    def losses(self, designs: Sequence[Design]) -> NDArray[np.float64]:
        """Objectives as numbers that should be small, shape (designs, objectives)."""
        return losses([design.values for design in designs], self.space.section.objectives)
