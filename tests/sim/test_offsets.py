"""Every kind of layer with a requantizer, with offsets behind its multiplier: RTL under stalls."""

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
    Linear,
    Requantize,
    Rounding,
    Tensor,
    trace,
)
from systolith.plan import ArrayShape, NetworkPlan
from tests.support.random_networks import random_images
from tests.support.twins import disguise

ACT = ActType(bits=4, signed=True, zero_point=-1)
ARRAYS = {
    "conv": ArrayShape(rows=3, columns=2),
    "depthwise": ArrayShape(rows=2, columns=2),
    "fc": ArrayShape(rows=2, columns=1),
}
MOVED = ("conv", "depthwise", "sum", "mean", "fc")


def _network() -> IntegerNetwork:
    """Two bits of weights; multipliers of each channel, one for all, and powers of two."""
    rng = np.random.default_rng(7)

    def scale(multiplier: list[int], shift: list[int], channels: int) -> Requantize:
        most = 2 << max(shift)
        return Requantize(
            multiplier=np.array(multiplier),
            shift=np.array(shift),
            offset=rng.integers(-most, most, channels) | 1,
            rounding=Rounding.HALF_EVEN,
        )

    def conv(name: str, source: str, channels: int, requantize: Requantize) -> Conv2d:
        return Conv2d(
            name=name,
            input=source,
            weight=rng.integers(-2, 2, (4, channels, 3, 3)),
            bias=rng.integers(-9, 10, 4),
            padding=(1, 1, 1, 1),
            groups=4 if channels == 1 else 1,
            weight_bits=2,
            requantize=requantize,
            output=ACT,
        )

    return IntegerNetwork(
        name="moved",
        input=Tensor((2, 4, 5), ActType(bits=3, signed=True, zero_point=1)),
        layers=(
            conv("conv", "input", 2, scale([37, 91, 0, 64], [8, 9, 8, 8], 4)),
            conv("depthwise", "conv", 1, scale([16], [7], 4)),
            Add(
                name="sum",
                inputs=("depthwise", "conv"),
                multipliers=(3, 5),
                requantize=scale([5], [5], 4),
                output=ACT,
            ),
            AvgPool2d(
                name="mean",
                input="sum",
                kernel_size=(2, 2),
                stride=(2, 2),
                requantize=scale([8], [5], 4),
                output=ACT,
            ),
            Flatten(name="flat", input="mean"),
            Linear(
                name="fc",
                input="flat",
                weight=rng.integers(-2, 2, (3, 16)),
                bias=rng.integers(-9, 10, 3),
                weight_bits=2,
                requantize=scale([3 << 4], [6], 3),
                output=ActType(bits=8, signed=True),
            ),
        ),
        outputs=("mean", "fc"),
    )


def _case(*, reloadable: bool = False) -> Case:
    network = _network()
    return Case(
        network=network,
        images=random_images(network, 4, 0),
        arrays=ARRAYS,
        reloadable=reloadable,
    )


def _without(network: IntegerNetwork, name: str) -> IntegerNetwork:
    """Set the offsets of one layer to 0."""
    layers = [
        replace(layer, requantize=replace(layer.requantize, offset=np.array([0])))
        if isinstance(layer, Conv2d | Linear | AvgPool2d | Add) and layer.name == name
        else layer
        for layer in network.layers
    ]
    return replace(network, layers=tuple(layers))


@pytest.fixture(scope="module")
def builds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("builds")


@pytest.mark.parametrize("name", MOVED)
def test_offsets_matter_in_each_layer(name: str) -> None:
    case = _case()
    golden, other = (
        trace(network, case.images) for network in (case.network, _without(case.network, name))
    )
    assert not np.array_equal(golden[name], other[name])


@pytest.mark.parametrize("reloadable", [False, True])
def test_a_network_is_equal_on_every_stream_and_takes_the_cycles_predicted(
    reloadable: bool, builds: Path
) -> None:
    assert judge_case(_case(reloadable=reloadable), builds).findings == ()


def test_a_layer_without_its_offsets_is_found(builds: Path) -> None:
    def unmoved(plan: NetworkPlan, folder: Path) -> Design:
        return disguise(_without(plan.network, "fc"), plan, folder)

    verdict = judge_case(_case(), builds, unmoved)
    assert verdict.kinds == {FindingKind.MISMATCH}
    assert all("layer 'fc'" in text for _, text in verdict.findings), verdict.findings
