"""Sketches against the exact choice: never better, and equal in most cases."""

import pytest

from systolith.devices import Budget
from systolith.network import Conv2d, IntegerNetwork, Linear
from systolith.plan import OptionTable, PlanError, plan_network, sketch_design, workload_of
from systolith.plan.choose.options import EngineOption, engine_options
from systolith.plan.choose.solver import choose
from tests.support.random_networks import random_network

ROOMY = Budget(multipliers=4096, dsps=4096, luts=1_000_000, block_rams=4096)


def _options(network: IntegerNetwork, budget: Budget) -> list[list[EngineOption]]:
    weighted = [layer for layer in network.layers if isinstance(layer, Conv2d | Linear)]
    works = [workload_of(network, layer) for layer in weighted]
    return [list(options) for options in engine_options(network, works, {}, budget).values()]


def _tables(options: list[list[EngineOption]], budget: Budget) -> list[OptionTable]:
    return [OptionTable(layer, budget) for layer in options]


def _cost(budget: Budget, chosen: list[EngineOption]) -> tuple[int, int]:
    return (
        sum(option.resources.multipliers for option in chosen),
        sum(budget.share(option.resources) for option in chosen),
    )


@pytest.mark.parametrize("seed", range(12))
def test_with_room_a_sketch_is_the_exact_choice(seed: int) -> None:
    options = _options(random_network(seed), ROOMY)
    fastest = sketch_design(_tables(options, ROOMY), ROOMY)
    exact = choose(options, ROOMY)
    assert fastest is not None
    assert fastest.cycles == max(option.cycles for option in exact)
    pace = 3 * fastest.cycles
    slower = sketch_design(_tables(options, ROOMY), ROOMY, cycles=pace)
    assert slower is not None and slower.cycles <= pace
    exact = choose(options, ROOMY, cycles=pace)
    assert _cost(ROOMY, list(slower.engines)) == _cost(ROOMY, exact)
    assert slower.resources == sum(
        (o.resources for o in slower.engines[1:]), slower.engines[0].resources
    )


def test_a_tight_sketch_keeps_the_budget_and_is_rarely_slower() -> None:
    equal, found, possible = 0, 0, 0
    for seed in range(24):
        network = random_network(seed)
        budget = Budget(dsps=6 + seed % 12, luts=1500 + 400 * (seed % 7), block_rams=seed % 9)
        options = _options(network, budget)
        drawn = sketch_design(_tables(options, budget), budget)
        try:
            exact = max(option.cycles for option in choose(options, budget))
        except PlanError:
            assert drawn is None
            continue
        possible += 1
        if drawn is not None:
            found += 1
            assert not list(budget.exceeded(drawn.resources))
            assert drawn.cycles >= exact
            equal += drawn.cycles == exact
    assert possible >= 12
    assert found >= 0.9 * possible
    assert equal >= 0.7 * possible


@pytest.mark.parametrize("seed", range(6))
def test_multipliers_alone_give_the_pace_of_the_planner(seed: int) -> None:
    network, budget = random_network(seed), Budget(multipliers=12)
    drawn = sketch_design(_tables(_options(network, budget), budget), budget)
    try:
        planned = plan_network(network, budget=budget).cycles_per_frame
    except PlanError:
        assert drawn is None
        return
    assert drawn is not None
    assert drawn.cycles == planned


def test_what_cannot_be_is_no_sketch() -> None:
    options = _options(random_network(3), ROOMY)
    tables = _tables(options, ROOMY)
    fastest = sketch_design(tables, ROOMY)
    assert fastest is not None
    assert sketch_design(tables, ROOMY, cycles=fastest.cycles) is not None
    assert sketch_design(tables, ROOMY, cycles=fastest.cycles - 1) is None
    assert sketch_design(tables, Budget(luts=1)) is None
