"""Checks of a search before training: limits that no design can keep, and unusable settings."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from torch import nn

from systolith.config import ObjectiveName
from systolith.data import Dataset
from systolith.foundation import ProblemCollector, UsageError
from systolith.stages.software.factories import make_bits, make_teacher
from systolith.stages.software.preflight import check_training
from systolith.tune.model import HardwareModel
from systolith.tune.objectives import Values, measure_violations
from systolith.tune.space import DesignSpace, Label

__all__ = ["check_search", "limit_problems"]

PERFECT = 1.0
"""Stands for the accuracy before training."""


def check_search(
    space: DesignSpace, make: Callable[[], nn.Module], data: Dataset, folder: Path
) -> None:
    """Find problems of the training and of the limits before anything is trained.

    Parameters
    ----------
    space : DesignSpace
    make : callable
        Makes the untrained model.
    data : Dataset
        For training and for measuring accuracy.
    folder : Path
        Folder of the experiment file.

    Raises
    ------
    UsageError, NetworkError
        Lists all problems.
    """
    bits = make_bits(space.experiment, data.train_images, data.test_images)
    problems = ProblemCollector()
    check = check_training(
        space.experiment,
        make,
        lambda: data,
        lambda: bits,
        lambda: make_teacher(space.experiment, data, folder),
        problems,
        None,
    )
    if check is not None:
        problems.errors += check.errors()
    problems.raise_if_any()
    untrained = HardwareModel(space, make().eval(), data.calibration_images)
    UsageError.raise_if_any(limit_problems(space, untrained))


def limit_problems(space: DesignSpace, hardware: HardwareModel) -> Iterator[str]:
    """Describe each hardware limit that no design keeps, with the nearest design.

    The nearest design is found by coordinate descent from the best uniform design.
    """
    for name, limit in space.section.limits.items():
        if name is ObjectiveName.ACCURACY:
            continue
        nearest = _find_nearest(space, hardware, {name: limit})
        if nearest is None:
            yield "no hardware of [tune.hardware] holds any uniform design"
            return
        values, point = nearest
        if max(measure_violations(values, {name: limit}).values()) > 0:
            chosen = ", ".join(f"{axis} {label}" for axis, label in point.items())
            yield (
                f"tune.limits.{name} = {limit:g} is kept by no design; the nearest has "
                f"{values.of(name):g}: {chosen or 'the only one'}"
            )


def _find_nearest(
    space: DesignSpace, hardware: HardwareModel, limit: Mapping[ObjectiveName, float]
) -> tuple[Values, dict[str, Label]] | None:
    def broken(point: Mapping[str, Label]) -> float:
        estimate = hardware.estimate(point)
        if estimate is None:
            return float("inf")
        return max(measure_violations(Values.of_estimate(estimate, PERFECT), limit).values())

    starts = [
        {**software, **chosen} for _, software in space.uniform for chosen in space.hardware_points
    ]
    best = min(starts, key=broken, default=None)
    if best is None or broken(best) == float("inf"):
        return None
    best = _descend(space, best, broken)
    estimate = hardware.estimate(best)
    assert estimate is not None, "a point without hardware has an infinite violation"
    return Values.of_estimate(estimate, PERFECT), best


def _descend(
    space: DesignSpace, point: dict[str, Label], broken: Callable[[Mapping[str, Label]], float]
) -> dict[str, Label]:
    """Change one choice at a time while that helps and the limit is exceeded."""
    while broken(point) > 0:
        others = [
            {**point, axis.name: option}
            for axis in space.axes
            for option in axis.options
            if option != point[axis.name]
        ]
        better = min(others, key=broken, default=point)
        if broken(better) >= broken(point):
            break
        point = better
    return point
