"""Predicted accuracies of points: without training by sensitivity, after training by regression."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import Ridge

from systolith.tune.space import METHOD, Axis, AxisKind, DesignSpace, Label, SearchPoint

__all__ = ["AccuracySurrogate", "AxisOption", "Sensitivity", "list_single_changes"]

LEAST = 4
"""Smallest number of trained points for the regression."""
STRENGTH = 0.3
"""Strength of the penalty on the contributions of options."""


AxisOption = tuple[str, Label]
"""An axis and one of its options; all other axes have their first option."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensitivity:
    """Effect of each option alone on the accuracy of the integer network, without training.

    Attributes
    ----------
    dense : float
        Accuracy with the first option of each axis, 0..1.
    by_option : mapping of AxisOption to float
        Accuracy with one other option. Options that could not be measured are absent.
    """

    dense: float
    by_option: Mapping[AxisOption, float]

    def expected(self, point: SearchPoint) -> float:
        """Predict the accuracy without training: the sum of the effects of options, at least 0."""
        changes = (self.by_option.get(option, self.dense) - self.dense for option in point.items())
        return max(self.dense + sum(changes), 0.0)

    def rows(self) -> list[dict[str, Any]]:
        """List the change of accuracy by each option."""
        return [
            {"group": axis, "option": label, "change": accuracy - self.dense}
            for (axis, label), accuracy in self.by_option.items()
        ]


def list_single_changes(space: DesignSpace) -> tuple[SearchPoint, dict[AxisOption, SearchPoint]]:
    """List the points to measure: all first options, and each single change.

    Methods are left out: without training, they do not differ.
    """
    first = space.uniform[0][1]
    others: dict[AxisOption, SearchPoint] = {
        (axis.name, label): {**first, axis.name: label}
        for axis in space.axes
        if axis.kind is AxisKind.SOFTWARE and axis.name != METHOD
        for label in axis.options[1:]
    }
    return first, others


class AccuracySurrogate:
    """Predicts the accuracy after training, from the accuracy without training and the options.

    A sparse network that looks hopeless without training may recover in a few epochs. A ridge
    regression on trained points predicts how much accuracy comes back. With fewer than 4 trained
    points, the prediction is the accuracy without training.

    Parameters
    ----------
    axes : sequence of Axis
        Axes of the space; those of hardware are ignored.
    points : sequence of SearchPoint
        Trained points.
    before, after : sequence of float
        Their accuracies without training (measured or predicted) and with it, 0..1.
    """

    def __init__(
        self,
        axes: Sequence[Axis],
        points: Sequence[SearchPoint],
        before: Sequence[float],
        after: Sequence[float],
    ) -> None:
        self.axes = [axis for axis in axes if axis.kind is AxisKind.SOFTWARE]
        self._model: Ridge | None = None
        if len(points) >= LEAST:
            self._model = Ridge(alpha=STRENGTH).fit(self._features(points, before), after)

    def predict(self, points: Sequence[SearchPoint], before: Sequence[float]) -> list[float]:
        """Predict accuracies after training, 0..1, from points and their accuracies without it."""
        if self._model is None:
            return list(before)
        predicted = self._model.predict(self._features(points, before))
        return [float(value) for value in np.clip(predicted, 0.0, 1.0)]

    def _features(
        self, points: Sequence[SearchPoint], before: Sequence[float]
    ) -> NDArray[np.float64]:
        """Return one column for each option, and one for the accuracy without training."""
        rows = [
            [
                *(point[axis.name] == label for axis in self.axes for label in axis.options),
                accuracy,
            ]
            for point, accuracy in zip(points, before, strict=True)
        ]
        return np.array(rows, dtype=float)
