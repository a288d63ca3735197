"""What was drawn before is not drawn again, as long as there is something new."""

from itertools import product

import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.samplers import BaseSampler, NSGAIISampler

from systolith.config import SamplerName
from systolith.tune import Axis, AxisKind
from systolith.tune.samplers import Items, find_new_neighbour, items_of, make_sampler
from systolith.tune.space import Label

AXES = tuple(
    Axis(name=name, options=options, kind=AxisKind.SOFTWARE)
    for name, options in (("a", ("dense", "sparse")), ("b", (8, 6, 4)), ("c", (8, 4)), ("d", (1,)))
)
POINTS: list[dict[str, Label]] = [
    dict(zip((axis.name for axis in AXES), labels, strict=True))
    for labels in product(*(axis.options for axis in AXES))
]
points = st.sampled_from(POINTS)


@given(points, st.lists(points), st.integers(0, 99))
def test_what_is_new_stays_and_what_is_not_becomes_new(
    point: dict[str, Label], drawn: list[dict[str, Label]], seed: int
) -> None:
    known = {items_of(other) for other in drawn}
    neighbour = find_new_neighbour(point, AXES, known, np.random.default_rng(seed))
    assert neighbour in POINTS
    assert neighbour == find_new_neighbour(point, AXES, known, np.random.default_rng(seed))
    if items_of(point) not in known:
        assert neighbour == point
    around = [other for other in POINTS if sum(other[name] != point[name] for name in point) == 1]
    if items_of(point) in known and any(items_of(other) not in known for other in around):
        assert neighbour in around
        assert items_of(neighbour) not in known


def test_the_last_new_point_is_found_and_then_there_is_none() -> None:
    everything = {items_of(other) for other in POINTS}
    for last in POINTS:
        known = everything - {items_of(last)}
        assert find_new_neighbour(POINTS[0], AXES, known, np.random.default_rng(0)) == last
    assert find_new_neighbour(POINTS[0], AXES, everything, np.random.default_rng(0)) == POINTS[0]


def _drawn(count: int, name: SamplerName | None, batch: int = 4) -> list[Items]:
    """Ask and tell; without a name, as NSGA-II does by itself."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(directions=["maximize", "minimize"])
    distributions = {
        axis.name: optuna.distributions.CategoricalDistribution(axis.options) for axis in AXES
    }
    points: list[Items] = []
    for number in range(count):
        sampler: BaseSampler = NSGAIISampler(population_size=batch, seed=number)
        if name is not None:
            sampler = make_sampler(name, 0, number, batch, AXES, set(points))
        study.sampler = sampler
        trial = study.ask(fixed_distributions=distributions)  # type: ignore[arg-type]
        points.append(items_of(trial.params))
        bits = int(trial.params["b"]) + int(trial.params["c"])
        study.tell(trial, [bits - (trial.params["a"] == "sparse"), bits])
    return points


@pytest.mark.parametrize("name", list(SamplerName))
def test_samplers_go_through_a_space_without_repeating(name: SamplerName) -> None:
    points = _drawn(len(POINTS), name)
    assert len(set(points)) == len(POINTS)
    assert points == _drawn(len(POINTS), name)


def test_by_itself_the_sampler_repeats() -> None:
    assert len(set(_drawn(len(POINTS), None))) < len(POINTS)
