"""Registers and lanes of selections, and what has no engine."""

import numpy as np
import pytest

from systolith.network import (
    ActType,
    Concat,
    Conv2d,
    Flatten,
    IntegerNetwork,
    Requantize,
    SelectChannels,
    Tensor,
)
from systolith.plan import ConcatPlan, PlanError, SelectPlan, plan_network
from systolith.plan.moving.select_plan import least_block

ACT = ActType(bits=4, signed=False)


def selection(
    channels: tuple[int, ...], total: int, lanes_in: int, lanes_out: int, block: int
) -> SelectPlan:
    return SelectPlan(
        name="select",
        input=Tensor((total, 2, 2), ACT),
        output=Tensor((len(channels), 2, 2), ACT),
        channels=channels,
        lanes_in=lanes_in,
        lanes_out=lanes_out,
        block=block,
    )


@pytest.mark.parametrize(
    ("channels", "total", "lanes_in", "lanes_out", "block"),
    [
        ((2, 3), 6, 2, 2, 2),
        ((2, 3), 6, 1, 1, 1),
        ((2, 3), 6, 1, 2, 2),
        ((1, 0, 4, 5), 8, 2, 2, 2),
        ((1, 0, 4, 5), 8, 2, 1, 2),
        ((1, 0), 6, 1, 1, 2),
        ((0, 3, 1, 4, 2, 5), 6, 1, 1, 6),
        ((0, 0, 0), 4, 1, 3, 1),
        ((0, 1, 2), 4, 1, 3, 4),
    ],
)
def test_register_holds_no_more_than_a_selection_needs(
    channels: tuple[int, ...], total: int, lanes_in: int, lanes_out: int, block: int
) -> None:
    assert least_block(channels, total, lanes_in, lanes_out) == block
    plan = selection(channels, total, lanes_in, lanes_out, block)
    assert sum(fills for fills, _ in plan.groups) == plan.transfers_in
    assert sum(empties for _, empties in plan.groups) == plan.transfers_out


@pytest.mark.parametrize(
    ("block", "lanes_in", "message"),
    [
        (4, 1, r"^selection 'select': the block must divide 6 channels and be divisible by the"),
        (3, 2, r"^selection 'select': the block must divide 6 channels and be divisible by the"),
        (3, 1, r"^selection 'select': blocks of 3 channels must follow in their order and fill "),
    ],
)
def test_names_a_register_that_does_not_fit(block: int, lanes_in: int, message: str) -> None:
    with pytest.raises(PlanError, match=message):
        selection((0, 3, 1), 6, lanes_in, 1, block)


def test_names_flattened_images_that_are_joined_or_selected() -> None:
    network = IntegerNetwork(
        input=Tensor((2, 3, 3), ACT),
        layers=(
            Flatten(name="flat", input="input"),
            SelectChannels(name="some", input="flat", channels=(1, 2)),
            Concat(name="both", inputs=("flat", "some")),
        ),
    )
    with pytest.raises(PlanError) as error:
        plan_network(network)
    assert error.value.problems == (
        "layer 'some': no engine selects features of flattened images; flatten after selecting",
        "layer 'both': no engine joins flattened images; flatten after joining",
    )


def convolution(name: str, source: str) -> Conv2d:
    return Conv2d(
        name=name,
        input=source,
        weight=np.ones((4, 4, 3, 3), int),
        bias=np.zeros(4, int),
        requantize=Requantize(multiplier=np.array([1]), shift=np.array([5])),
        output=ACT,
        weight_bits=2,
        padding=(1, 1, 1, 1),
    )


def test_lanes_fit_the_neighbours() -> None:
    layers = (
        convolution("a", "input"),
        convolution("b", "input"),
        Concat(name="both", inputs=("a", "b")),
        SelectChannels(name="half", input="both", channels=(2, 3, 4, 5)),
    )
    network = IntegerNetwork(input=Tensor((4, 4, 4), ACT), layers=layers)
    plan = plan_network(network, multipliers=2)
    engines = {engine.name: engine for engine in plan.engines}
    joined, half = engines["both"], engines["half"]
    assert isinstance(joined, ConcatPlan) and isinstance(half, SelectPlan)
    assert (joined.lanes, half.lanes_in, half.lanes_out, half.block) == (1, 1, 1, 1)
    assert max(joined.cycles, half.cycles) <= plan.cycles_per_frame
