"""Plans within a budget or at a pace, against all possible engines."""

import re
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from systolith.devices import DEVICES, Budget, Family
from systolith.network import Add, Conv2d, IntegerNetwork
from systolith.plan import (
    ArrayShape,
    ConvPlan,
    ForkPlan,
    MemoryKind,
    MultiplierKind,
    NetworkPlan,
    PlanError,
    PoolPlan,
    WeightMemory,
    plan_network,
    resources_of,
)
from systolith.plan.choose.options import EngineChooser, EngineOption, engine_options
from systolith.plan.engines.layer_engines import plan_conv
from systolith.plan.sizes.workload import Workload, workload_of
from tests.support.networks import convolution, small_network
from tests.support.random_networks import random_network, random_residual_network

LIMITS = {"dsps": (4, 40), "luts": (2500, 12000), "block_rams": (0, 30)}


def _budgets() -> st.SearchStrategy[Budget]:
    return st.builds(
        Budget, **{kind: st.none() | st.integers(*most) for kind, most in LIMITS.items()}
    )


def _blocks(engine: ConvPlan, tile: tuple[int, int], budget: Budget) -> int:
    """Count the blocks of an engine whose tiles share weight memories."""
    if tile[0] * tile[1] > 9:
        return 10**9
    shared = replace(engine, weight_memory=WeightMemory(MemoryKind.BLOCK, *tile))
    return sum(memory.blocks(budget.block) for memory in shared.weight_memories)


def _every_engine(work: Workload, budget: Budget) -> list[EngineOption]:
    """List each array of a layer with each kind of multipliers and memories."""
    found = []
    kinds = MultiplierKind if budget.trades_luts else [MultiplierKind.DSP]
    for rows, columns, multipliers, packed in product(
        range(1, work.reduction + 1),
        range(1, work.filters + 1),
        range(1, work.slots + 1),
        range(1, work.packed + 1),
    ):
        shape = ArrayShape(rows=rows, columns=columns, multipliers=multipliers, packed=packed)
        engine = plan_conv(work, shape)
        tiles = product(range(1, min(rows, 9) + 1), range(1, min(columns, 9) + 1))
        sharing = min(tiles, key=lambda tile: _blocks(engine, tile, budget))
        for kind, weights, window in product(kinds, MemoryKind, MemoryKind):
            memory = WeightMemory(weights, *(sharing if weights is MemoryKind.BLOCK else ()))
            engine = replace(
                engine, multiplier_kind=kind, weight_memory=memory, window_memory=window
            )
            used = resources_of(engine, budget.block)
            found.append(EngineOption(engine, engine.cycles, used))
    return found


def _network(kept: int) -> IntegerNetwork:
    """Make a layer whose filters each keep `kept` of four channels."""
    pattern = (kept, 4) if kept < 4 else None
    return convolution(channels=4, filters=4, size=(5, 4), kept=pattern)


@settings(max_examples=15, deadline=None)
@given(_budgets(), st.sampled_from([1, 2, 4]), st.sampled_from([None, 300, 1000]))
def test_no_engine_is_better(budget: Budget, kept: int, cycles: int | None) -> None:
    network = _network(kept)
    work = workload_of(network, network.layers[0])

    def rank(option: EngineOption) -> tuple[int, int, int]:
        used = option.resources
        # At a given pace, to be faster counts for nothing.
        return option.cycles if cycles is None else 0, used.multipliers, budget.share(used)

    fitting = [
        option
        for option in _every_engine(work, budget)
        if option.cycles <= (cycles or option.cycles) and not any(budget.exceeded(option.resources))
    ]
    options = engine_options(network, [work], {}, budget, cycles=cycles)
    if not fitting:
        with pytest.raises(PlanError):
            EngineChooser(options, budget).choose(cycles=cycles)
        return
    (engine,) = EngineChooser(options, budget).choose(cycles=cycles)
    chosen = EngineOption(engine, engine.cycles, resources_of(engine, budget.block))
    assert not any(budget.exceeded(chosen.resources))
    assert rank(chosen) == min(map(rank, fitting))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 60), _budgets(), st.none() | st.integers(100, 2000), st.booleans())
def test_a_plan_keeps_its_budget_and_its_pace(
    seed: int, budget: Budget, cycles: int | None, reloadable: bool
) -> None:
    network = random_network(seed) if seed % 3 else random_residual_network(seed)
    try:
        plan = plan_network(network, budget=budget, cycles=cycles, reloadable=reloadable)
    except PlanError:
        return
    used = plan.resources
    for kind, limit in budget.limits.items():
        assert getattr(used, kind) <= limit
    assert plan.steady_interval <= (cycles or plan.cycles_per_frame)
    assert plan == plan_network(network, budget=budget, cycles=cycles, reloadable=reloadable)


def _memories(plan: NetworkPlan) -> set[MemoryKind]:
    kinds = {engine.weight_memory.kind for engine in plan.convolutions}
    windowed = [engine for engine in plan.engines if isinstance(engine, ConvPlan | PoolPlan)]
    return kinds | {engine.window_memory for engine in windowed}


def test_memories_are_made_of_what_there_is() -> None:
    network = small_network()
    no_blocks = plan_network(network, budget=Budget(dsps=30, block_rams=0))
    assert _memories(no_blocks) == {MemoryKind.DISTRIBUTED}
    few_luts = plan_network(network, budget=Budget(dsps=30, luts=3200, block_rams=1000))
    assert few_luts.resources.block_rams > 3
    assert MemoryKind.BLOCK in _memories(few_luts)


def test_luts_multiply_where_they_and_dsps_are_limited() -> None:
    def kinds(budget: Budget) -> set[MultiplierKind]:
        plan = plan_network(small_network(), budget=budget)
        return {engine.multiplier_kind for engine in plan.convolutions}

    assert kinds(Budget(dsps=8)) == {MultiplierKind.DSP}
    assert MultiplierKind.LUT in kinds(Budget(dsps=8, luts=30000))


def test_multipliers_that_are_left_are_used_before_luts() -> None:
    network = convolution(channels=16, filters=8, size=(8, 8))
    plan = plan_network(network, budget=DEVICES["ecp5-25f"].budget, cycles=4608)
    assert [engine.multiplier_kind for engine in plan.convolutions] == [MultiplierKind.DSP]


def test_a_smaller_device_is_no_faster() -> None:
    paces = [
        plan_network(small_network(), budget=device.budget).cycles_per_frame
        for device in DEVICES.values()
        if device.family is Family.ECP5
    ]
    assert paces == sorted(paces, reverse=True)


def test_what_a_device_lacks_is_named() -> None:
    # Requantizers do not multiply with LUTs.
    with pytest.raises(PlanError, match=r"need at least \d+ DSP multipliers, but the budget is 0$"):
        plan_network(small_network(), budget=DEVICES["ice40-hx8k"].budget)


def test_all_that_is_lacking_is_named() -> None:
    budget = Budget(multipliers=2, dsps=1, luts=100)
    with pytest.raises(PlanError) as caught:
        plan_network(small_network(), budget=budget)
    patterns = [
        r"^the engines need at least 3 multipliers in PE arrays, but the budget is 2$",
        r"^the engines need at least \d+ DSP multipliers, but the budget is 1$",
        r"^the engines need at least [\d,]+ LUTs, but the budget is 100$",
    ]
    assert len(caught.value.problems) == len(patterns)
    for pattern, problem in zip(patterns, caught.value.problems, strict=True):
        assert re.search(pattern, problem)


def test_the_least_that_is_named_suffices() -> None:
    with pytest.raises(PlanError) as caught:
        plan_network(small_network(), budget=Budget(dsps=0))
    (least,) = re.findall(r"at least (\d+) DSP", str(caught.value))
    assert plan_network(small_network(), budget=Budget(dsps=int(least))).resources.dsps == int(
        least
    )


def _wide() -> IntegerNetwork:
    """More than a row waits for an addition around a convolution."""
    network = convolution(channels=2, filters=2, size=(3, 80))
    (layer,) = network.layers
    assert isinstance(layer, Conv2d)
    both = Add(
        name="sum",
        inputs=("conv", "input"),
        multipliers=(1, 1),
        requantize=layer.requantize,
        output=layer.output,
    )
    return IntegerNetwork(input=network.input, layers=(layer, both))


def test_what_queues_need_is_part_of_what_is_lacking() -> None:
    network = _wide()
    plan = plan_network(network, budget=Budget(dsps=60))
    assert any(any(fork.deep) for fork in plan.stages if isinstance(fork, ForkPlan))
    with pytest.raises(PlanError, match=r"need at least \d+ block RAMs.* but the budget is 0$"):
        plan_network(network, budget=Budget(dsps=60, block_rams=0))


def test_a_pace_that_no_engine_keeps_is_refused() -> None:
    with pytest.raises(PlanError, match=r"^the engines need at least 36 cycles .* target is 35$"):
        plan_network(small_network(), cycles=35)


def test_goals_that_are_none_are_named() -> None:
    with pytest.raises(PlanError) as caught:
        plan_network(
            small_network(),
            multipliers=3,
            budget=Budget(dsps=1.5, luts=True),
            cycles=0,  # type: ignore[arg-type]
        )
    assert caught.value.problems == (
        "give multipliers, or a budget of them and other things; not both",
        "the budget of DSP multipliers must be an integer, got 1.5",
        "the budget of LUTs must be an integer, got True",
        "cycles per frame must be an integer of at least 1, got 0",
    )
