"""Which layers count equal bits, and their arrays."""

from dataclasses import replace

import numpy as np
import pytest

from systolith.devices import Budget
from systolith.network import (
    ActType,
    Conv2d,
    Flatten,
    IntegerNetwork,
    MaxPool2d,
    Pad2d,
    Requantize,
    Table,
    Tensor,
)
from systolith.plan import (
    ArrayShape,
    PlanError,
    SingleBits,
    array_shapes,
    plan_network,
    workload_of,
)
from tests.support.single_bits import bit_network, sign_network


def _kinds(network: IntegerNetwork, *, reloadable: bool = False) -> dict[str, SingleBits | None]:
    return {
        layer.name: workload_of(network, layer, reloadable=reloadable).single_bits
        for layer in network.layers
        if hasattr(layer, "weight")
    }


def test_signs_are_found_through_layers_that_select_values() -> None:
    network = sign_network()
    signs = SingleBits.SIGNS
    assert _kinds(network) == {"first": None, "second": signs, "third": signs, "fc": signs}
    # Parameters that are loaded later may break the rule.
    assert set(_kinds(network, reloadable=True).values()) == {None}


def test_bits_are_counted_in_reloadable_designs() -> None:
    network = bit_network()
    assert set(_kinds(network, reloadable=True).values()) == {SingleBits.NUMBERS}
    plan_network(network, reloadable=True)


def _behind(*layers: object) -> SingleBits | None:
    """What a convolution behind a table of signs, and other layers, counts."""
    pair = ActType(bits=2, signed=True)
    table = Table(name="signs", input="input", values=np.array([-1, 1, 1, -1]), output=pair)
    network = IntegerNetwork(input=Tensor((2, 4, 4), pair), layers=(table, *layers))  # type: ignore[arg-type]
    conv = Conv2d(
        name="conv",
        input=network.layers[-1].name,
        weight=np.ones((2, network.tensors[network.layers[-1].name].shape[0], 1, 1), dtype=int),
        bias=np.zeros(2, dtype=int),
        requantize=Requantize(multiplier=np.array([1]), shift=np.array([0])),
        output=ActType(bits=8, signed=True),
        weight_bits=1,
    )
    whole = IntegerNetwork(input=network.input, layers=(*network.layers, conv))
    return workload_of(whole, conv).single_bits


def test_what_makes_other_values_is_no_sign() -> None:
    pool = MaxPool2d(name="pool", input="signs", kernel_size=(2, 2), stride=(1, 1))
    crop = Pad2d(name="crop", input="signs", padding=(-1, 0, 0, 0))
    zeros = Pad2d(name="zeros", input="signs", padding=(1, 0, 0, 0))
    ones = replace(zeros, value=-1)
    assert _behind() is _behind(pool) is _behind(crop) is _behind(ones) is SingleBits.SIGNS
    assert _behind(zeros) is None


@pytest.mark.parametrize("change", [
    {"clamp": (-2, 1)},
    {"clamp": None},
    {"multiplier": np.array([3])},
    {"offset": np.array([2])},
    {"shift": np.array([1])},
])  # fmt: skip
def test_values_that_may_be_zero_are_no_signs(change: dict[str, object]) -> None:
    network = sign_network()
    layers = tuple(
        replace(layer, requantize=replace(layer.requantize, **change))  # type: ignore[arg-type]
        if isinstance(layer, Conv2d) and layer.name == "first"
        else layer
        for layer in network.layers
    )
    assert _kinds(replace(network, layers=layers))["second"] is None


def test_a_pe_takes_a_divisor_of_the_channels() -> None:
    network = sign_network()
    (layer,) = (layer for layer in network.layers if layer.name == "second")
    assert isinstance(layer, Conv2d)
    work = workload_of(network, layer)
    assert work.multipliers == [1, 2, 3, 6]
    assert {shape.multipliers for shape in array_shapes(work)} == {1, 2, 3, 6}
    with pytest.raises(PlanError, match="multipliers must be a divisor of 6, got 4"):
        plan_network(network, arrays={"second": ArrayShape(rows=1, columns=1, multipliers=4)})
    with pytest.raises(PlanError, match="rows must be 1..9, got 10"):
        plan_network(network, arrays={"second": ArrayShape(rows=10, columns=1, multipliers=6)})


@pytest.mark.parametrize("budget", [Budget(dsps=0, luts=20000), Budget(dsps=20, luts=20000)])
def test_single_bits_take_no_multiplier_and_one_bit(budget: Budget) -> None:
    plan = plan_network(bit_network(), budget=budget)
    for engine in plan.convolutions:
        assert plan.resources_of(engine).dsps == 0
        assert (engine.weight_bits, engine.stored.bits, engine.packed) == (1, 1, 1)
        array = engine.array
        assert engine.weight_word_bits == array.multipliers * (1 + engine.index_bits)
    assert not any(isinstance(layer, Flatten) for layer in plan.engines)


def test_the_planner_counts_many_bits_at_once() -> None:
    plan = plan_network(sign_network(), budget=Budget(dsps=16, luts=30000))
    sizes = {engine.name: engine.array.multipliers for engine in plan.convolutions}
    assert sizes["second"] > 1


def test_arrays_are_judged_as_the_design_computes_them() -> None:
    """A reloadable design multiplies signs: a PE takes one channel, a column two filters."""
    array = ArrayShape(rows=2, columns=2, packed=2)
    plan = plan_network(sign_network(), arrays={"second": array}, reloadable=True)
    assert {engine.name: engine.array for engine in plan.convolutions}["second"] == array
    with pytest.raises(PlanError, match="packed must be 1..1, got 2"):
        plan_network(sign_network(), arrays={"second": array})
