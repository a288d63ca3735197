"""The choice of options against all possible choices."""

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from systolith.devices import Budget, Resources
from systolith.plan import PlanError
from systolith.plan.choose import knapsack
from systolith.plan.choose.front import Vector
from systolith.plan.choose.knapsack import minimize_cost
from systolith.plan.choose.solver import Chooser, choose


@dataclass(frozen=True, slots=True)
class Option:
    cycles: int
    resources: Resources


small = st.integers(0, 6)
limits = st.none() | st.integers(0, 14)
options = st.builds(
    Option, cycles=st.integers(1, 20), resources=st.builds(Resources, small, small, small, small)
)
layers = st.lists(st.lists(options, min_size=1, max_size=8), min_size=1, max_size=3)
budgets = st.builds(Budget, multipliers=limits, dsps=limits, luts=limits, block_rams=limits)
anything = settings(max_examples=300, deadline=None)


def _total(chosen: Sequence[Option]) -> Resources:
    return sum((option.resources for option in chosen), Resources())


def _rank(chosen: Sequence[Option], budget: Budget) -> tuple[int, int, int]:
    total = _total(chosen)
    pace = max(option.cycles for option in chosen)
    return pace, total.multipliers, sum(budget.share(option.resources) for option in chosen)


@anything
@given(layers, budgets, small.map(lambda most: Resources(most, most, most, most)))
def test_nothing_within_the_budget_is_better(
    layers: list[list[Option]], budget: Budget, taken: Resources
) -> None:
    fitting = [
        chosen for chosen in product(*layers) if not any(budget.exceeded(_total(chosen) + taken))
    ]
    if not fitting:
        with pytest.raises(PlanError):
            choose(layers, budget, taken=taken)
        return
    chosen = choose(layers, budget, taken=taken)
    assert all(option in layer for option, layer in zip(chosen, layers, strict=True))
    assert not any(budget.exceeded(_total(chosen) + taken))
    assert _rank(chosen, budget) == min(_rank(other, budget) for other in fitting)


@pytest.mark.parametrize("seed", range(60))
def test_nothing_within_a_tight_budget_is_better(seed: int) -> None:
    rng = np.random.default_rng(seed)
    layers = [
        [
            Option(int(cycles), Resources(*map(int, 40 - cycles + rng.integers(0, 20, 4))))
            for cycles in rng.integers(1, 40, 8)
        ]
        for _ in range(3)
    ]
    some = _total([layer[rng.integers(8)] for layer in layers])
    budget = Budget(dsps=some.dsps, luts=some.luts, block_rams=some.block_rams)
    fitting = [chosen for chosen in product(*layers) if not any(budget.exceeded(_total(chosen)))]
    best = min(_rank(chosen, budget) for chosen in fitting)
    assert _rank(choose(layers, budget), budget) == best


@anything
@given(layers, budgets, st.integers(1, 20))
def test_nothing_at_the_pace_is_smaller(
    layers: list[list[Option]], budget: Budget, cycles: int
) -> None:
    fitting = [
        chosen
        for chosen in product(*layers)
        if not any(budget.exceeded(_total(chosen))) and _rank(chosen, budget)[0] <= cycles
    ]
    if not fitting:
        with pytest.raises(PlanError):
            choose(layers, budget, cycles=cycles)
        return
    chosen = choose(layers, budget, cycles=cycles)
    assert max(option.cycles for option in chosen) <= cycles
    assert _rank(chosen, budget)[1:] == min(_rank(other, budget)[1:] for other in fitting)


@anything
@given(layers, budgets)
def test_a_choice_is_the_same_on_each_run(layers: list[list[Option]], budget: Budget) -> None:
    found = []
    for _ in range(2):
        try:
            found.append(choose([list(layer) for layer in layers], budget))
        except PlanError as error:
            found.append(list(error.problems))
    assert found[0] == found[1]


@anything
@given(layers, budgets)
def test_what_is_lacking_is_said_by_how_much(layers: list[list[Option]], budget: Budget) -> None:
    try:
        choose(layers, budget)
        return
    except PlanError as error:
        problems = error.problems
    assert problems
    kinds = {"multipliers": "multipliers in PE arrays", "dsps": "DSP multipliers"}
    for kind in kinds.keys() & budget.limits.keys():
        limit = budget.limits[kind]
        alone = sum(min(getattr(o.resources, kind) for o in layer) for layer in layers)
        said = f"the engines need at least {alone} {kinds[kind]}, but the budget is {limit}"
        assert (said in problems) == (alone > limit)


vectors = st.tuples(small, small, small)


@anything
@given(
    st.lists(st.lists(vectors, min_size=1, max_size=5), min_size=1, max_size=4),
    st.dictionaries(st.integers(0, 2), st.integers(0, 16)),
    vectors,
)
def test_a_knapsack_is_filled_at_the_least_cost(
    layers: list[list[Vector]], limits: dict[int, int], costs: Vector
) -> None:
    def cost(chosen: Sequence[Vector]) -> int:
        return sum(a * b for vector in chosen for a, b in zip(vector, costs, strict=True))

    fitting = [
        chosen
        for chosen in product(*layers)
        if all(sum(vector[place] for vector in chosen) <= most for place, most in limits.items())
    ]
    numbers = minimize_cost(layers, limits, costs)
    assert (numbers is None) == (not fitting)
    if numbers is not None:
        chosen = tuple(layer[number] for layer, number in zip(layers, numbers, strict=True))
        assert chosen in fitting
        assert cost(chosen) == min(map(cost, fitting))


@pytest.mark.parametrize("patience", [1e-6, 1e-3])
def test_without_patience_a_choice_keeps_the_limits_all_the_same(
    patience: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    layers = [
        [(int(a), int(b), 4000 - int(a) - int(b)) for a, b in rng.integers(0, 2000, (40, 2))]
        for _ in range(20)
    ]
    limits, costs = {0: 14_000, 1: 14_000}, [0, 1, 1]
    proven = minimize_cost(layers, limits, costs)
    monkeypatch.setattr(knapsack, "PATIENCE", patience)
    chosen, again = (minimize_cost(layers, limits, costs) for _ in range(2))
    assert chosen is not None and proven is not None
    assert chosen == again
    sums = [[layer[n] for n, layer in zip(c, layers, strict=True)] for c in (chosen, proven)]
    first, best = (np.sum(vectors, axis=0) for vectors in sums)
    assert first[0] <= limits[0] and first[1] <= limits[1]
    assert first @ costs >= best @ costs
    monkeypatch.setattr(knapsack, "PATIENCE", 1e-6)
    assert minimize_cost(layers, {0: 1, 1: 1}, costs) is None


def test_resources_that_only_together_are_too_few_are_named() -> None:
    layer = [Option(1, Resources(dsps=4, luts=0)), Option(1, Resources(dsps=0, luts=9))]
    with pytest.raises(PlanError) as caught:
        choose([layer, layer], Budget(dsps=5, luts=8))
    assert caught.value.problems == (
        "the engines need at least 8 DSP multipliers with 8 LUTs, but the budget is 5",
        "the engines need at least 9 LUTs with 5 DSP multipliers, but the budget is 8",
    )


def test_a_pace_that_nothing_keeps_is_refused() -> None:
    layer = [Option(7, Resources()), Option(9, Resources())]
    with pytest.raises(PlanError, match=r"^the engines need at least 7 cycles .* target is 6$"):
        choose([layer], Budget(), cycles=6)


def test_the_first_of_equals_is_chosen() -> None:
    first = Option(3, Resources(dsps=1))
    (chosen,) = choose([[first, replace(first)]], Budget(dsps=1))
    assert chosen is first


def _clock(taken: Resources) -> float:
    """Estimate a clock that falls so fast that slower paces often win."""
    return 100 / (1 + taken.luts + 3 * taken.dsps)


def _rate_of(chosen: Sequence[Option], taken: Resources) -> float:
    return _clock(_total(chosen) + taken) * 1e6 / max(option.cycles for option in chosen)


def _choices(
    layers: list[list[Option]], budget: Budget, taken: Resources
) -> Iterator[list[Option]]:
    """Yield the choice at each pace that the budget allows, the fastest first."""
    for pace in sorted({option.cycles for layer in layers for option in layer}):
        with suppress(PlanError):
            yield choose(layers, budget, cycles=pace, taken=taken)


@anything
@given(layers, budgets, st.integers(0, 2).map(lambda most: Resources(luts=most)))
def test_no_pace_has_more_frames_per_second_by_the_clock(
    layers: list[list[Option]], budget: Budget, taken: Resources
) -> None:
    rates = [_rate_of(chosen, taken) for chosen in _choices(layers, budget, taken)]
    if not rates:
        with pytest.raises(PlanError):
            Chooser(layers, budget).choose_by_clock(_clock, taken=taken)
        return
    chosen = Chooser(layers, budget).choose_by_clock(_clock, taken=taken)
    assert _rate_of(chosen, taken) == max(rates)


@anything
@given(layers, budgets, st.floats(1e5, 1e7))
def test_the_slowest_choice_that_reaches_a_target_by_the_clock_is_taken(
    layers: list[list[Option]], budget: Budget, target: float
) -> None:
    reaching = [
        chosen
        for chosen in _choices(layers, budget, Resources())
        if _rate_of(chosen, Resources()) >= target
    ]
    if not reaching:
        with pytest.raises(PlanError):
            Chooser(layers, budget).choose_by_clock(_clock, frames_per_second=target)
        return
    chosen = Chooser(layers, budget).choose_by_clock(_clock, frames_per_second=target)
    assert chosen == reaching[-1]


def test_a_slower_design_with_a_faster_clock_wins() -> None:
    layer = [Option(10, Resources(luts=20)), Option(11, Resources(luts=10))]
    assert choose([layer], Budget(luts=30)) == layer[:1]
    chooser = Chooser([layer], Budget(luts=30))
    assert chooser.choose_by_clock(_clock) == layer[1:]
    message = (
        "the fastest design reaches 826,446.3 frames per second by the estimated clock; "
        "wanted 900,000.0"
    )
    with pytest.raises(PlanError, match=f"^{re.escape(message)}$"):
        chooser.choose_by_clock(_clock, frames_per_second=900_000)
