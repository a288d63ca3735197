"""Limits that no design of a space keeps, found out before anything is trained."""

from collections.abc import Callable, Iterator, Mapping

from torch import nn

from systolith.config import ObjectiveName
from systolith.data import Dataset
from systolith.foundation import ProblemCollector, UsageError
from systolith.stages import bits_of
from systolith.stages.preflight import check_training
from systolith.tune.model import HardwareModel
from systolith.tune.objectives import Values, breaks
from systolith.tune.space import Label, Space

__all__ = ["check_search", "limit_problems"]

PERFECT = 1.0
"""Accuracy that is not known yet."""


def check_search(space: Space, make: Callable[[], nn.Module], data: Dataset) -> None:
    """Find out before any training what training, or a limit, would fail at.

    Parameters
    ----------
    space : Space
    make : callable
        Makes the untrained model.
    data : Dataset
        That points are trained with and judged by.

    Raises
    ------
    UsageError, NetworkError
        With all that is wrong.
    """
    bits = bits_of(space.experiment, data.train_images, data.test_images)
    problems = ProblemCollector()
    check_training(space.experiment, make, lambda: data, lambda: bits, problems, None)
    problems.raise_if_any()
    untrained = HardwareModel(space, make().eval(), data.calibration_images)
    if found := list(limit_problems(space, untrained)):
        raise UsageError("; ".join(found))


def limit_problems(space: Space, hardware: HardwareModel) -> Iterator[str]:
    """Say which limits on hardware no design keeps, and the best that there is.

    From every uniform design, and on every hardware, each choice is changed in turn to what brings
    the limited figure nearest, until no change does.
    """
    for name, limit in space.section.limits.items():
        if name is ObjectiveName.ACCURACY:
            continue
        found = _nearest(space, hardware, {name: limit})
        if found is None:
            yield "no hardware of [tune.hardware] holds any uniform design"
            return
        values, point = found
        if max(breaks(values, {name: limit}).values()) > 0:
            chosen = ", ".join(f"{axis} {label}" for axis, label in point.items())
            yield (
                f"tune.limits.{name} = {limit:g} is kept by no design; the nearest has "
                f"{values.of(name):g}: {chosen or 'the only one'}"
            )


def _nearest(
    space: Space, hardware: HardwareModel, limit: Mapping[ObjectiveName, float]
) -> tuple[Values, dict[str, Label]] | None:
    def broken(point: Mapping[str, Label]) -> float:
        estimate = hardware.estimate(point)
        if estimate is None:
            return float("inf")
        return max(breaks(Values.of_estimate(estimate, PERFECT), limit).values())

    starts = [
        {**software, **chosen} for _, software in space.uniform for chosen in space.hardware_points
    ]
    best = min(starts, key=broken, default=None)
    if best is None or broken(best) == float("inf"):
        return None
    best = _descended(space, best, broken)
    estimate = hardware.estimate(best)
    assert estimate is not None, "infinitely broken otherwise"
    return Values.of_estimate(estimate, PERFECT), best


def _descended(
    space: Space, point: dict[str, Label], broken: Callable[[Mapping[str, Label]], float]
) -> dict[str, Label]:
    """Change one choice at a time while that helps and the limit is broken."""
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
