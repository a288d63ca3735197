"""Accuracy after training, learned from points that were trained."""

from systolith.tune import Axis, AxisKind
from systolith.tune.surrogate import LEAST, AccuracySurrogate

AXES = (
    Axis(name="a", options=("dense", "sparse"), kind=AxisKind.SOFTWARE),
    Axis(name="b", options=(8, 4), kind=AxisKind.SOFTWARE),
    Axis(name="multipliers", options=(8, 16), kind=AxisKind.HARDWARE),
)
POINTS = [
    {"a": a, "b": b, "multipliers": m} for a in ("dense", "sparse") for b in (8, 4) for m in (8, 16)
]


def _after(point: dict[str, object]) -> float:
    return 0.95 - 0.02 * (point["a"] == "sparse") - 0.10 * (point["b"] == 4)


def test_few_points_teach_nothing() -> None:
    points = POINTS[: LEAST - 1]
    surrogate = AccuracySurrogate(AXES, points, [0.1] * len(points), [0.9] * len(points))
    assert surrogate.predict(POINTS[:2], [0.3, 0.7]) == [0.3, 0.7]


def test_what_recovers_is_told_from_what_does_not() -> None:
    before = [0.9 - 0.8 * (point["a"] == "sparse") for point in POINTS]
    surrogate = AccuracySurrogate(AXES, POINTS, before, [_after(point) for point in POINTS])
    dense, sparse, narrow = (
        surrogate.predict([{"a": a, "b": b, "multipliers": 8}], [before_])[0]
        for a, b, before_ in (("dense", 8, 0.9), ("sparse", 8, 0.1), ("dense", 4, 0.9))
    )
    # Sparse ones seem hopeless without training, and are nearly as good; narrow ones are not.
    assert dense > sparse > narrow
    assert 0.0 <= narrow and dense <= 1.0
