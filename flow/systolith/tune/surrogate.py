"""What accuracy a point will have after training, from points that were trained."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import Ridge

from systolith.tune.space import Axis, AxisKind, Point

__all__ = ["AccuracySurrogate"]

LEAST = 4
"""Trained points from which on they are learned from."""
STRENGTH = 0.3
"""Of the penalty on what single options add."""


class AccuracySurrogate:
    """Accuracy after training: a share of that without training, plus something for each option.

    Without training, sparse networks look hopeless that recover in a few epochs. How much accuracy
    comes back, and by which options, is what trained points teach (ridge regression). As long as
    there are few of them, accuracy without training is all that is known.

    Parameters
    ----------
    axes : sequence of Axis
        Of the space; those of hardware do not count.
    points : sequence of Point
        Trained.
    before, after : sequence of float
        Their accuracies without training (measured or predicted) and with it, 0..1.
    """

    def __init__(
        self,
        axes: Sequence[Axis],
        points: Sequence[Point],
        before: Sequence[float],
        after: Sequence[float],
    ) -> None:
        self.axes = [axis for axis in axes if axis.kind is AxisKind.SOFTWARE]
        self._model: Ridge | None = None
        if len(points) >= LEAST:
            self._model = Ridge(alpha=STRENGTH).fit(self._features(points, before), after)

    def accuracies(self, points: Sequence[Point], before: Sequence[float]) -> list[float]:
        """Predict accuracies after training, 0..1, of points and their accuracies without it."""
        if self._model is None:
            return list(before)
        found = self._model.predict(self._features(points, before))
        return [float(value) for value in np.clip(found, 0.0, 1.0)]

    def _features(self, points: Sequence[Point], before: Sequence[float]) -> NDArray[np.float64]:
        """One column for each option, and one for the accuracy without training."""
        rows = [
            [
                *(point[axis.name] == label for axis in self.axes for label in axis.options),
                accuracy,
            ]
            for point, accuracy in zip(points, before, strict=True)
        ]
        return np.array(rows, dtype=float)
