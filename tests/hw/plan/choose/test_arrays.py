"""The choice of array shapes, against a search over every shape."""

import re
from dataclasses import replace
from itertools import product
from math import ceil, gcd, prod

import numpy as np
import pytest

from systolith.network import (
    INPUT,
    Add,
    AvgPool2d,
    Concat,
    Conv2d,
    DepthToSpace,
    IntegerNetwork,
    Layer,
    Linear,
    MaxPool2d,
    Multiply,
    NetworkError,
    Pad2d,
    SelectChannels,
    SpaceToDepth,
    Table,
    Upsample,
)
from systolith.plan import ArrayShape, Feed, PlanError, plan_network
from systolith.plan.sizes.workload import Workload, workload_of
from tests.support.networks import convolution, small_network
from tests.support.random_networks import random_network


def _works(network: IntegerNetwork) -> list[Workload]:
    layers = [layer for layer in network.layers if isinstance(layer, Conv2d | Linear)]
    return [workload_of(network, layer) for layer in layers]


def _every_shape(work: Workload) -> list[tuple[int, int]]:
    """Multipliers and cycles of each shape that a layer can have."""
    window = work.window
    return [
        (
            rows * columns * multipliers,
            max(
                window.output_pixels
                * _folds(work, rows)
                * ceil(work.filters / (columns * work.packed))
                * ceil(work.slots / multipliers),
                window.input_pixels * _transfers(work, rows, columns),
            ),
        )
        for rows, columns, multipliers in product(
            range(1, work.reduction + 1),
            range(1, ceil(work.filters / work.packed) + 1),
            range(1, work.slots + 1),
        )
        if columns % max(work.multiplicity, 1) == 0
    ]


def _folds(work: Workload, rows: int) -> int:
    """Steps in which the rows of the fullest bank read all its parts."""
    groups = work.reads.groups
    banks = gcd(rows, groups)
    every = tuple(range(work.reads.taps))
    parts = [len((work.reads.reads or [every] * groups)[group]) for group in range(groups)]
    return max(ceil(sum(parts[bank::banks]) * banks / rows) for bank in range(banks))


def _transfers(work: Workload, rows: int, columns: int) -> int:
    if work.feed is Feed.GATHERED:
        return 1
    if work.multiplicity:
        return ceil(work.channels * work.multiplicity / columns)
    return work.reads.groups // gcd(rows, work.reads.groups)


def _best_pace(network: IntegerNetwork, budget: int) -> int:
    """Least cycles of the slowest layer within the budget, by trying every pace."""
    options = [_every_shape(work) for work in _works(network)]

    def affordable(pace: int) -> bool:
        costs = [
            min((total for total, cycles in option if cycles <= pace), default=budget + 1)
            for option in options
        ]
        return sum(costs) <= budget

    return min(filter(affordable, {cycles for option in options for _, cycles in option}))


def _least_pace(network: IntegerNetwork) -> int:
    """Cycles of the slowest layer without weights, however wide it is."""
    return max((_least_cycles(network, layer) for layer in network.layers), default=0)


def _least_cycles(network: IntegerNetwork, layer: Layer) -> int:
    pixels = prod(network.tensors[layer.name].shape[1:])
    match layer:
        case MaxPool2d() | AvgPool2d():
            (image,) = network.inputs_of(layer)
            size = image.shape[1:]
            return max(pixels * prod(layer.kernel_size or size), prod(size))
        case Pad2d() | Upsample():
            (image,) = network.inputs_of(layer)
            return max(pixels, prod(image.shape[1:]))
        case Add() | Multiply() | Table():
            return pixels
        case Concat():
            channels = [tensor.shape[0] for tensor in network.inputs_of(layer)]
            return pixels * sum(channels) // gcd(*channels)
        case SelectChannels() | DepthToSpace():
            return pixels
        case SpaceToDepth():
            (image,) = network.inputs_of(layer)
            return prod(image.shape[1:])
    return 0


@pytest.mark.parametrize("budget", [3, 4, 7, 12, 20, 40, 400])
def test_no_choice_is_faster_within_the_budget(budget: int) -> None:
    network = small_network()
    plan = plan_network(network, multipliers=budget)
    assert plan.multipliers <= budget
    assert plan.cycles_per_frame == _best_pace(network, budget)


@pytest.mark.parametrize("seed", [s for s in range(40) if _works(random_network(s))])
def test_no_choice_is_faster_for_any_network(seed: int) -> None:
    network = random_network(seed)
    works = _works(network)
    least = sum(min(total for total, _ in _every_shape(work)) for work in works)
    budget = least + int(np.random.default_rng(seed).integers(0, 60))
    plan = plan_network(network, multipliers=budget)
    assert plan.multipliers <= budget
    pace = max(_best_pace(network, budget), _least_pace(network))
    assert plan.cycles_per_frame == pace
    for engine, work in zip(plan.convolutions, works, strict=True):
        # Nor does a layer have more multipliers than it needs at that pace.
        assert engine.array.total == min(
            total for total, cycles in _every_shape(work) if cycles <= pace
        )


@pytest.mark.parametrize("seed", range(80))
def test_gearboxes_and_streams_never_set_the_pace(seed: int) -> None:
    plan = plan_network(random_network(seed), multipliers=90)
    assert plan.cycles_per_frame == max(engine.cycles for engine in plan.engines)


def test_among_equal_arrays_the_one_that_takes_least_is_chosen() -> None:
    network = convolution(channels=1, filters=9, size=(4, 4))
    plan = plan_network(network, multipliers=9)
    for rows in (1, 3, 9):
        array = ArrayShape(rows=rows, columns=9 // rows)
        other = plan_network(network, arrays={"conv": array})
        assert other.cycles_per_frame == plan.cycles_per_frame
        assert plan.budget.share(plan.resources) <= plan.budget.share(other.resources)


def test_fixed_arrays_count_towards_the_budget() -> None:
    fixed = {"conv1": ArrayShape(rows=9, columns=8)}
    with pytest.raises(PlanError, match=r"^the engines need at least 74 mult.* is 73$"):
        plan_network(small_network(), arrays=fixed, multipliers=73)
    plan = plan_network(small_network(), arrays=fixed, multipliers=74)
    assert plan.convolutions[0].array == fixed["conv1"]
    assert plan.multipliers == 74


def test_given_arrays_are_kept_whatever_the_budget() -> None:
    array = ArrayShape(rows=9, columns=4)
    network = convolution(channels=2, filters=4, size=(4, 4))
    plan = plan_network(network, arrays={"conv": array}, multipliers=1)
    assert [engine.array for engine in plan.convolutions] == [array]


def test_an_array_has_integer_sides() -> None:
    with pytest.raises(PlanError) as caught:
        ArrayShape(rows=2.0, columns="3", multipliers=True)  # type: ignore[arg-type]
    assert caught.value.problems == (
        "rows of an array must be an integer, got 2.0",
        "columns of an array must be an integer, got '3'",
        "multipliers of an array must be an integer, got True",
    )
    from_numpy = ArrayShape(rows=np.int64(2), columns=np.int64(3))  # type: ignore[arg-type]
    assert type(from_numpy.rows) is int and from_numpy.total == 6


def test_what_is_no_array_and_no_budget_is_named() -> None:
    with pytest.raises(PlanError) as caught:
        plan_network(small_network(), arrays={"fc": (2, 2)}, multipliers=2.5)  # type: ignore[dict-item,arg-type]
    assert caught.value.problems == (
        "array for 'fc': must be an ArrayShape, got (2, 2)",
        "the budget of multipliers in PE arrays must be an integer, got 2.5",
    )


def test_several_problems_are_one_list() -> None:
    assert re.fullmatch(r"2 problems:\n  - a\n  - b", str(PlanError(["a", "b"])))
    assert str(PlanError(["a"])) == "a"
    assert not issubclass(PlanError, NetworkError)


def test_arrays_are_named_with_dots_or_without() -> None:
    plain = small_network()
    layers = [replace(layer, name=f"body_0_{layer.name}",
                      input=layer.input if layer.input == INPUT else f"body_0_{layer.input}")
              for layer in plain.layers]  # fmt: skip
    outputs = tuple(f"body_0_{name}" for name in plain.outputs)
    network = replace(plain, layers=tuple(layers), outputs=outputs)
    shape = ArrayShape(rows=2, columns=4)
    for name in ("body.0.conv1", "body_0_conv1"):
        plan = plan_network(network, arrays={name: shape}, multipliers=40)
        (found,) = (each for each in plan.convolutions if each.name == "body_0_conv1")
        assert found.array == shape
    both = {"body.0.conv1": shape, "body_0_conv1": ArrayShape(rows=1, columns=1)}
    with pytest.raises(PlanError, match=r"array for 'body\.0\.conv1': no such convolution"):
        plan_network(network, arrays=both)
