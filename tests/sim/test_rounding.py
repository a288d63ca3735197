"""Every kind of layer that rounds, at scales of which ties are common: RTL under stalls."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from systolith.emit import Design
from systolith.fuzz import Case, FindingKind, judge_case
from systolith.network import (
    ActType,
    Add,
    AvgPool2d,
    Conv2d,
    Flatten,
    IntegerNetwork,
    Layer,
    Linear,
    Overflow,
    Requantize,
    Rounding,
    Tensor,
    trace,
)
from systolith.plan import ArrayShape, NetworkPlan
from tests.support.random_networks import random_images
from tests.support.twins import disguise

ACT = ActType(bits=8, signed=True, zero_point=-3)
ROUNDED = ("conv", "depthwise", "sum", "mean", "fc")
ARRAYS = {
    "conv": ArrayShape(rows=3, columns=2),
    "depthwise": ArrayShape(rows=2, columns=2),
    "fc": ArrayShape(rows=2, columns=1),
}


def _network(overflow: Overflow) -> IntegerNetwork:
    """Powers of two of each channel and of all, and odd multipliers, on images of 4x5 pixels."""
    rng = np.random.default_rng(5)

    def scale(shift: list[int], multiplier: int = 1) -> Requantize:
        return Requantize(
            multiplier=np.array([multiplier]),
            shift=np.array(shift),
            rounding=Rounding.HALF_EVEN,
            overflow=overflow,
        )

    def conv(name: str, source: str, channels: int, requantize: Requantize) -> Conv2d:
        return Conv2d(
            name=name,
            input=source,
            weight=rng.integers(-2, 3, (4, channels, 3, 3)),
            bias=rng.integers(-9, 10, 4),
            padding=(1, 1, 1, 1),
            groups=4 if channels == 1 else 1,
            requantize=requantize,
            output=ACT,
        )

    return IntegerNetwork(
        name="tied",
        input=Tensor((2, 4, 5), ActType(bits=4, signed=True)),
        layers=(
            conv("conv", "input", 2, scale([0, 1, 2, 3])),
            conv("depthwise", "conv", 1, scale([2])),
            Add(
                name="sum",
                inputs=("depthwise", "conv"),
                multipliers=(1, 3),
                requantize=scale([1]),
                output=ACT,
            ),
            AvgPool2d(name="mean", input="sum", kernel_size=(2, 2), stride=(2, 2),
                      requantize=scale([2]), output=ACT),
            Flatten(name="flat", input="mean"),
            Linear(
                name="fc",
                input="flat",
                weight=rng.integers(-2, 3, (3, 16)),
                bias=rng.integers(-9, 10, 3),
                requantize=scale([1, 2, 1], multiplier=3),
                output=ActType(bits=16, signed=True, zero_point=7),
            ),
        ),
        outputs=("mean", "fc"),
    )  # fmt: skip


def _case(overflow: Overflow, *, reloadable: bool = False) -> Case:
    network = _network(overflow)
    images = random_images(network, 4, 0)
    return Case(network=network, images=images, arrays=ARRAYS, reloadable=reloadable)


def _rounding(network: IntegerNetwork, name: str, rounding: Rounding) -> IntegerNetwork:
    """Let one layer round in another way."""
    layers: list[Layer] = [
        replace(layer, requantize=replace(layer.requantize, rounding=rounding))
        if isinstance(layer, Conv2d | Linear | AvgPool2d | Add) and layer.name == name
        else layer
        for layer in network.layers
    ]
    return replace(network, layers=tuple(layers))


@pytest.fixture(scope="module")
def builds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("builds")


@pytest.mark.parametrize("overflow", Overflow)
@pytest.mark.parametrize("name", ROUNDED)
def test_there_are_ties_in_each_layer(name: str, overflow: Overflow) -> None:
    case = _case(overflow)
    golden = trace(case.network, case.images)
    for rounding in (Rounding.HALF_UP, Rounding.FLOOR):
        other = trace(_rounding(case.network, name, rounding), case.images)
        assert not np.array_equal(golden[name], other[name])


@pytest.mark.parametrize(
    ("overflow", "reloadable"), [(Overflow.SATURATE, False), (Overflow.WRAP, True)]
)
def test_a_network_is_equal_on_every_stream_and_takes_the_cycles_predicted(
    overflow: Overflow, reloadable: bool, builds: Path
) -> None:
    assert judge_case(_case(overflow, reloadable=reloadable), builds).findings == ()


def test_a_layer_whose_ties_go_up_instead_is_found(builds: Path) -> None:
    case = _case(Overflow.SATURATE)

    def ties_up(plan: NetworkPlan, folder: Path) -> Design:
        return disguise(_rounding(plan.network, "fc", Rounding.HALF_UP), plan, folder)

    verdict = judge_case(case, builds, ties_up)
    assert verdict.kinds == {FindingKind.MISMATCH}
    assert all("layer 'fc'" in text for _, text in verdict.findings), verdict.findings
