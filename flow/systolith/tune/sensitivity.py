"""What each option alone does to the accuracy, without training."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from systolith.tune.space import METHOD, AxisKind, Label, Point, Space

__all__ = ["Alone", "Sensitivity", "points_alone"]

Alone = tuple[str, Label]
"""An axis and one of its options, all others being the first ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensitivity:
    """Accuracies of the integer network, masks and widths only, nothing trained.

    Attributes
    ----------
    dense : float
        0..1, with the first option of each axis.
    alone : mapping of Alone to float
        With one other option; those that could not be measured are left out.
    """

    dense: float
    alone: Mapping[Alone, float]

    def expected(self, point: Point) -> float:
        """Accuracy without training, if each option did what it does alone; at least 0."""
        changes = (self.alone.get(each, self.dense) - self.dense for each in point.items())
        return max(self.dense + sum(changes), 0.0)

    def rows(self) -> list[dict[str, Any]]:
        """Tell the change of accuracy by each option."""
        return [
            {"group": axis, "option": label, "change": accuracy - self.dense}
            for (axis, label), accuracy in self.alone.items()
        ]


def points_alone(space: Space) -> tuple[Point, dict[Alone, Point]]:
    """List the points to measure: all first options, and each other option alone.

    Methods are left out: without training, they do not differ.
    """
    first = space.uniform[0][1]
    others: dict[Alone, Point] = {
        (axis.name, label): {**first, axis.name: label}
        for axis in space.axes
        if axis.kind is AxisKind.SOFTWARE and axis.name != METHOD
        for label in axis.options[1:]
    }
    return first, others
