"""The plan: formulas, choices and errors."""

import re
from itertools import product
from math import ceil
from typing import Any

import numpy as np
import pytest

from systolith.network import (
    ActType,
    Add,
    Conv2d,
    Flatten,
    IntegerNetwork,
    Layer,
    MaxPool2d,
    Pattern,
    PerNeuron,
    Requantize,
    Tensor,
)
from systolith.plan import ArrayShape, PlanError, compute_timeline, plan_network
from tests.support.networks import convolution, small_network
from tests.support.random_networks import random_network

U8 = ActType(bits=8, signed=False)
HALVE = Requantize(multiplier=np.array([1]), shift=np.array([1]))


@pytest.mark.parametrize("seed", range(300))
def test_the_steady_state_is_the_formula_of_the_busiest_stage(seed: int) -> None:
    budget = int(np.random.default_rng(seed).integers(4, 100))
    plan = plan_network(random_network(seed), multipliers=budget)
    assert plan.steady_interval == plan.cycles_per_frame
    assert 0 < plan.utilization <= 1 or not plan.convolutions


SLOW_SIDE_OUTPUT = 277
"""Of a network whose slowest stage has an output of its own, later with each frame."""


@pytest.mark.parametrize("seed", [*range(20), SLOW_SIDE_OUTPUT])
def test_cycles_of_many_frames_are_those_of_the_whole_timeline(seed: int) -> None:
    plan = plan_network(random_network(seed), multipliers=30)
    assert plan.cycles(60) == compute_timeline(plan.graph, 60).cycles


@pytest.mark.parametrize(
    ("rows", "columns", "multipliers"), list(product([1, 4, 9, 18], [1, 3, 8], [1, 2]))
)
def test_compute_cycles_are_the_ceiling_formula(rows: int, columns: int, multipliers: int) -> None:
    network = convolution(channels=16, filters=8, size=(5, 6), kept=(2, 8))
    array = ArrayShape(rows=rows, columns=columns, multipliers=multipliers)
    (engine,) = plan_network(network, arrays={"conv": array}).convolutions
    assert engine.compute_cycles == 30 * ceil(18 / rows) * ceil(2 / multipliers) * ceil(8 / columns)


def test_a_budget_that_is_too_small_is_refused() -> None:
    with pytest.raises(PlanError, match=r"^the engines need at least 3 multipliers .* is 2$"):
        plan_network(small_network(), multipliers=2)


def test_wrong_arrays_are_all_named() -> None:
    with pytest.raises(PlanError) as caught:
        plan_network(
            small_network(),
            arrays={
                "conv1": ArrayShape(rows=10, columns=9),
                "conv2": ArrayShape(rows=0, columns=1, multipliers=3),
                "conv9": ArrayShape(rows=1, columns=1),
            },
        )
    expected = [
        r"^array for 'conv1': rows must be 1\.\.9, got 10$",
        r"^array for 'conv1': columns must be 1\.\.8, got 9$",
        r"^array for 'conv2': rows must be 1\.\.9, got 0$",
        r"^array for 'conv2': multipliers must be 1\.\.2, got 3$",
        r"^array for 'conv9': no such convolution or linear layer; there are conv1, conv2, fc$",
    ]
    assert len(caught.value.problems) == len(expected)
    for pattern in expected:
        assert any(re.search(pattern, problem) for problem in caught.value.problems), pattern


def _conv(name: str, source: str, pattern: Pattern, groups: int = 1) -> Conv2d:
    """A 2x2 convolution with four filters of ones."""
    shape = (4, 4 // groups, 2, 2)
    mask = pattern.best_mask(np.ones(shape))
    return Conv2d(
        name=name,
        input=source,
        weight=mask.astype(np.int64),
        bias=np.zeros(4, int),
        requantize=HALVE,
        output=U8,
        padding=(1, 0, 1, 0),
        groups=groups,
        pattern=pattern,
        mask=mask,
    )


def _chain(*layers: Layer, outputs: tuple[str, ...] = ()) -> IntegerNetwork:
    return IntegerNetwork(input=Tensor((4, 3, 3), U8), layers=layers, outputs=outputs)


def _problems(network: IntegerNetwork, **options: Any) -> tuple[str, ...]:
    with pytest.raises(PlanError) as caught:
        plan_network(network, **options)
    return caught.value.problems


def test_layers_and_arrays_are_refused_together() -> None:
    neurons = Pattern(select=PerNeuron(3))
    network = _chain(
        _conv("a", "input", Pattern()),
        _conv("b", "a", neurons, groups=4),
        _conv("c", "b", Pattern(), groups=4),
    )
    arrays = {name: ArrayShape(rows=99, columns=1) for name in "abc"}
    assert _problems(network, arrays=arrays) == (
        "layer 'b': no engine computes 3 per neuron of a depthwise convolution",
        "array for 'a': rows must be 1..16, got 99",
        "array for 'c': rows must be 1..4, got 99",
    )


def test_outputs_leave_in_the_order_of_the_network() -> None:
    layers = (
        _conv("a", "input", Pattern()),
        _conv("b", "a", Pattern()),
        Flatten(name="flat", input="a"),
        MaxPool2d(name="pool", input="a", kernel_size=(3, 3), stride=(1, 1)),
    )
    network = _chain(*layers, outputs=("b", "flat", "pool", "a"))
    plan = plan_network(network, multipliers=20)
    assert plan.graph.outputs == ("b", "a_fork", "pool", "a_fork")
    lanes = {stage.name: stage.lanes_out for stage in plan.stages}
    assert plan.lanes_out == (lanes["b"], lanes["a"], lanes["pool"], lanes["a"])


def test_a_frame_ends_when_its_last_output_does() -> None:
    layers = (_conv("a", "input", Pattern()), _conv("b", "a", Pattern()))
    arrays = {name: ArrayShape(rows=16, columns=4) for name in "ab"}
    ends = {
        outputs: compute_timeline(
            plan_network(_chain(*layers, outputs=outputs), arrays=arrays).graph, 3
        )
        for outputs in (("b",), ("a", "b"), ("b", "a"))
    }
    assert ends["a", "b"].last_output == ends["b", "a"].last_output
    later = np.subtract(ends["a", "b"].last_output, ends["b",].last_output)
    assert later.tolist() == [1] * 3  # the latency of a shallow queue


def test_adding_flattened_images_is_refused() -> None:
    network = _chain(
        _conv("a", "input", Pattern()),
        Flatten(name="flat", input="a"),
        Flatten(name="other", input="a"),
        Add(name="sum", inputs=("flat", "other"), multipliers=(1, 1), requantize=HALVE, output=U8),
    )
    assert _problems(network) == (
        "layer 'sum': no engine adds flattened images; flatten after adding",
    )


def test_a_network_of_flattenings_is_refused() -> None:
    network = _chain(Flatten(name="flat", input="input"))
    assert _problems(network, arrays={"flat": ArrayShape(rows=1, columns=1)}) == (
        "a network for engines needs a layer besides flattenings",
        "array for 'flat': no such convolution or linear layer; there are none",
    )


def test_a_gearbox_never_takes_the_name_of_a_layer() -> None:
    network = _chain(
        _conv("a", "input", Pattern()),
        _conv("b", "a", Pattern()),
        _conv("a_gearbox0", "b", Pattern()),
    )
    arrays = {
        "a": ArrayShape(rows=16, columns=4),
        "b": ArrayShape(rows=1, columns=1),
        "a_gearbox0": ArrayShape(rows=16, columns=4),
    }
    names = [stage.name for stage in plan_network(network, arrays=arrays).stages]
    assert "a_gearbox0_" in names and len(set(names)) == len(names)
