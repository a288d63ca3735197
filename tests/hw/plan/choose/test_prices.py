"""Quick answers of prices, and fronts of vectors, against searches without them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from systolith.devices import DEVICES
from systolith.network import Conv2d, Linear
from systolith.plan import PlanError
from systolith.plan.choose import solver
from systolith.plan.choose.front import Vector, find_front
from systolith.plan.choose.options import EngineOption, engine_options
from systolith.plan.choose.prices import PricedOptions, draw_prices, judge_pace
from systolith.plan.sizes.workload import workload_of
from tests.support.random_networks import random_residual_network


def _options(seed: int) -> list[list[EngineOption]]:
    network = random_residual_network(seed)
    layers = [layer for layer in network.layers if isinstance(layer, Conv2d | Linear)]
    works = [workload_of(network, layer) for layer in layers]
    budget = DEVICES["ecp5-12f"].budget
    return [list(each) for each in engine_options(network, works, {}, budget).values()]


@pytest.mark.parametrize("seed", range(4))
def test_prices_change_no_choice(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    options, budget = _options(seed), DEVICES["ecp5-12f"].budget
    judged: list[bool | None] = []

    def choose(judge: bool) -> list[EngineOption] | list[str]:
        def answer(*arguments: object) -> bool | None:
            judged.append(judge_pace(*arguments) if judge else None)  # type: ignore[arg-type]
            return judged[-1]

        monkeypatch.setattr(solver, "judge_pace", answer)
        try:
            return solver.choose(options, budget)
        except PlanError as error:
            return list(error.problems)

    with_prices = choose(True)
    assert {True, False} & set(judged)
    assert with_prices == choose(False)


small = st.integers(0, 4)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(small, small, small), min_size=1, max_size=12))
def test_a_front_has_the_first_of_all_that_nothing_dominates(vectors: list[Vector]) -> None:
    def dominates(one: Vector, other: Vector) -> bool:
        return one != other and all(a <= b for a, b in zip(one, other, strict=True))

    kept = [
        number
        for number, vector in enumerate(vectors)
        if vector not in vectors[:number] and not any(dominates(o, vector) for o in vectors)
    ]
    assert find_front(vectors) == sorted(kept, key=lambda number: vectors[number])


def test_prices_decide_both_ways_and_say_when_they_cannot() -> None:
    prices, scale = draw_prices(2), np.array([0.5, 0.5])
    amounts = np.array([[4, 0], [0, 4]])
    layer = PricedOptions([1, 2], amounts, scale, prices)

    def judge(pace: int, *most: int) -> bool | None:
        limits = np.array(most)
        return judge_pace([layer, layer], pace, limits, prices @ (limits * scale))

    assert judge(1, 8, 0) is True
    assert judge(1, 7, 9) is False
    assert judge(2, 3, 4) is False
    # One layer of each kind would fit, but equal layers choose alike at any price.
    assert judge(2, 4, 4) is None
