"""Every kind of layer with a requantizer, with ties and with offsets: RTL under stalls."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

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
    Overflow,
    Requantize,
    Rounding,
    Tensor,
    trace,
)
from systolith.plan import ArrayShape, NetworkPlan
from tests.support.random_networks import random_images
from tests.support.twins import disguise

LAYERS = ("conv", "depthwise", "sum", "mean", "fc")
ARRAYS = {
    "conv": ArrayShape(rows=3, columns=2),
    "depthwise": ArrayShape(rows=2, columns=2),
    "fc": ArrayShape(rows=2, columns=1),
}


def _tied(overflow: Overflow) -> IntegerNetwork:
    """Small scales, so that ties are common: powers of two, and odd multipliers."""
    rng = np.random.default_rng(5)
    small = {"rounding": Rounding.HALF_EVEN, "overflow": overflow}
    shifts = {"conv": [0, 1, 2, 3], "depthwise": [2], "sum": [1], "mean": [2], "fc": [1, 2, 1]}
    scales = {
        name: Requantize(multiplier=np.array([3 if name == "fc" else 1]), shift=shift, **small)
        for name, shift in ((name, np.array(shift)) for name, shift in shifts.items())
    }
    return _network(
        rng,
        scales,
        image=ActType(bits=4, signed=True),
        act=ActType(bits=8, signed=True, zero_point=-3),
        result=ActType(bits=16, signed=True, zero_point=7),
        factors=(1, 3),
        weight_bits=8,
        most_weight=2,
    )


def _moved() -> IntegerNetwork:
    """Offsets behind multipliers per channel, for all channels, and of powers of two."""
    rng = np.random.default_rng(7)

    def scale(multiplier: list[int], shift: list[int], channels: int) -> Requantize:
        most = 2 << max(shift)
        return Requantize(
            multiplier=np.array(multiplier),
            shift=np.array(shift),
            offset=rng.integers(-most, most, channels) | 1,
            rounding=Rounding.HALF_EVEN,
        )

    return _network(
        rng,
        {
            "conv": scale([37, 91, 0, 64], [8, 9, 8, 8], 4),
            "depthwise": scale([16], [7], 4),
            "sum": scale([5], [5], 4),
            "mean": scale([8], [5], 4),
            "fc": scale([3 << 4], [6], 3),
        },
        image=ActType(bits=3, signed=True, zero_point=1),
        act=ActType(bits=4, signed=True, zero_point=-1),
        result=ActType(bits=8, signed=True),
        factors=(3, 5),
        weight_bits=2,
        most_weight=1,
    )


def _network(
    rng: np.random.Generator,
    scales: dict[str, Requantize],
    *,
    image: ActType,
    act: ActType,
    result: ActType,
    factors: tuple[int, int],
    weight_bits: int,
    most_weight: int,
) -> IntegerNetwork:
    def conv(name: str, source: str, channels: int) -> Conv2d:
        return Conv2d(
            name=name,
            input=source,
            weight=rng.integers(-2, most_weight + 1, (4, channels, 3, 3)),
            bias=rng.integers(-9, 10, 4),
            padding=(1, 1, 1, 1),
            groups=4 if channels == 1 else 1,
            weight_bits=weight_bits,
            requantize=scales[name],
            output=act,
        )

    return IntegerNetwork(
        name="requantized",
        input=Tensor((2, 4, 5), image),
        layers=(
            conv("conv", "input", 2),
            conv("depthwise", "conv", 1),
            Add(
                name="sum",
                inputs=("depthwise", "conv"),
                multipliers=factors,
                requantize=scales["sum"],
                output=act,
            ),
            AvgPool2d(
                name="mean",
                input="sum",
                kernel_size=(2, 2),
                stride=(2, 2),
                requantize=scales["mean"],
                output=act,
            ),
            Flatten(name="flat", input="mean"),
            Linear(
                name="fc",
                input="flat",
                weight=rng.integers(-2, most_weight + 1, (3, 16)),
                bias=rng.integers(-9, 10, 3),
                weight_bits=weight_bits,
                requantize=scales["fc"],
                output=result,
            ),
        ),
        outputs=("mean", "fc"),
    )


def _case(network: IntegerNetwork, *, reloadable: bool = False) -> Case:
    images = random_images(network, 4, 0)
    return Case(network=network, images=images, arrays=ARRAYS, reloadable=reloadable)


def _change(network: IntegerNetwork, name: str, **changes: Any) -> IntegerNetwork:
    """Change the requantization of one layer."""
    layers = [
        replace(layer, requantize=replace(layer.requantize, **changes))
        if isinstance(layer, Conv2d | Linear | AvgPool2d | Add) and layer.name == name
        else layer
        for layer in network.layers
    ]
    return replace(network, layers=tuple(layers))


@pytest.fixture(scope="module")
def simulators(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("simulators")


@pytest.mark.parametrize("overflow", Overflow)
@pytest.mark.parametrize("name", LAYERS)
def test_there_are_ties_in_each_layer(name: str, overflow: Overflow) -> None:
    case = _case(_tied(overflow))
    golden = trace(case.network, case.images)
    for rounding in (Rounding.HALF_UP, Rounding.FLOOR):
        other = trace(_change(case.network, name, rounding=rounding), case.images)
        assert not np.array_equal(golden[name], other[name])


@pytest.mark.parametrize("name", LAYERS)
def test_offsets_matter_in_each_layer(name: str) -> None:
    case = _case(_moved())
    unmoved = _change(case.network, name, offset=np.array([0]))
    golden, other = (trace(network, case.images) for network in (case.network, unmoved))
    assert not np.array_equal(golden[name], other[name])


@pytest.mark.parametrize(
    ("make_network", "reloadable"),
    [
        pytest.param(lambda: _tied(Overflow.WRAP), True, id="ties, wrapping, reloadable"),
        pytest.param(_moved, False, id="offsets"),
        pytest.param(
            *(lambda: _tied(Overflow.SATURATE), False),
            id="ties, saturating",
            marks=pytest.mark.slow,
        ),
        pytest.param(_moved, True, id="offsets, reloadable", marks=pytest.mark.slow),
    ],
)
def test_a_network_is_equal_on_every_stream_and_takes_the_cycles_predicted(
    make_network: Callable[[], IntegerNetwork], reloadable: bool, simulators: Path
) -> None:
    assert judge_case(_case(make_network(), reloadable=reloadable), simulators).findings == ()


@pytest.mark.parametrize(
    ("network", "fault"),
    [
        pytest.param(_tied(Overflow.SATURATE), {"rounding": Rounding.HALF_UP}, id="ties go up"),
        pytest.param(_moved(), {"offset": np.array([0])}, id="no offsets"),
    ],
)
def test_a_layer_with_another_requantization_is_found(
    network: IntegerNetwork, fault: dict[str, Any], simulators: Path
) -> None:
    def emit_fault(plan: NetworkPlan, folder: Path) -> Design:
        return disguise(_change(plan.network, "fc", **fault), plan, folder)

    verdict = judge_case(_case(network), simulators, emit_fault)
    assert verdict.kinds == {FindingKind.MISMATCH}
    assert all("layer 'fc'" in text for _, text in verdict.findings), verdict.findings
