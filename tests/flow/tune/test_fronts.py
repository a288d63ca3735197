"""Fronts and hypervolumes, against their definitions."""

from itertools import product

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from systolith.tune.fronts import LossScale, front_of, most_promising

STEPS = 4
Points = NDArray[np.float64]


def _points(objectives: int) -> st.SearchStrategy[Points]:
    one = st.tuples(*[st.integers(0, STEPS - 1)] * objectives)
    return st.lists(one, min_size=1, max_size=8).map(lambda rows: np.array(rows, dtype=float))


def _cells(points: Points) -> int:
    """Count the cells of a grid that some point dominates."""
    cells = product(range(STEPS), repeat=points.shape[1])
    return sum(any((point <= cell).all() for point in points) for cell in cells)


SCALES = {n: LossScale(np.zeros(n), np.full(n, float(STEPS))) for n in (2, 3)}


@given(st.sampled_from([2, 3]).flatmap(_points))
def test_hypervolume_is_the_share_of_dominated_cells(points: Points) -> None:
    scale = SCALES[points.shape[1]]
    share = _cells(points) / STEPS ** points.shape[1]
    assert round(scale.hypervolume(points) * STEPS ** points.shape[1]) == _cells(points)
    assert abs(scale.hypervolume(points) - share) < 1e-9


@given(st.sampled_from([2, 3]).flatmap(_points))
def test_the_front_is_what_no_other_beats(points: Points) -> None:
    front = front_of(points)
    for number, point in enumerate(points):
        beaten = any((o <= point).all() and (o < point).any() for o in points)
        again = any((points[earlier] == point).all() for earlier in range(number))
        assert (number in front) == (not beaten and not again)


@given(_points(2), _points(2))
def test_the_first_choice_adds_most(candidates: Points, front: Points) -> None:
    (first, *_) = most_promising([c[None] for c in candidates], front, SCALES[2], 8)
    gains = [_cells(np.vstack([front, [c]])) - _cells(front) for c in candidates]
    assert gains[first] == max(gains)


def test_each_choice_counts_those_before() -> None:
    candidates = np.array([[0.0, 3.0], [0.0, 3.0], [3.0, 0.0], [1.0, 3.0]])
    chosen = most_promising([c[None] for c in candidates], np.empty((0, 2)), SCALES[2], 2)
    assert sorted(chosen) in ([0, 2], [1, 2])


@given(st.lists(_points(2), min_size=1, max_size=6), _points(2))
def test_looking_again_only_at_the_best_changes_no_choice(
    candidates: list[Points], front: Points
) -> None:
    known = front
    for number in most_promising(candidates, front, SCALES[2], len(candidates)):
        cells = [_cells(np.vstack([known, c])) for c in candidates]
        assert cells[number] == max(cells)
        known = np.vstack([known, candidates[number]])


def test_nothing_beyond_the_worst_counts() -> None:
    assert SCALES[2].hypervolume(np.array([[5.0, 0.0]])) == 0.0
    assert SCALES[2].hypervolume(np.empty((0, 2))) == 0.0
