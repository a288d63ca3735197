"""Engines that move channels and pixels: values under stalls, and cycles as predicted."""

import numpy as np
import pytest

from systolith.gateware import Pipeline
from systolith.network import (
    ActType,
    Concat,
    DepthToSpace,
    IntegerNetwork,
    Layer,
    MaxPool2d,
    SelectChannels,
    Shape,
    SpaceToDepth,
    Tensor,
    forward,
)
from systolith.plan import compute_timeline, plan_network
from tests.support.pipeline_bench import run_frames
from tests.support.random_networks import random_images

FRAMES = 3
ACT = ActType(bits=4, signed=True)


def select(channels: tuple[int, ...], name: str = "select", source: str = "input") -> Layer:
    return SelectChannels(name=name, input=source, channels=channels)


NETWORKS: dict[str, tuple[Shape, list[Layer]]] = {
    "pixels to channels": ((4, 4, 6), [SpaceToDepth(name="s", input="input", block=2)]),
    "one channel": ((1, 4, 4), [SpaceToDepth(name="s", input="input", block=2)]),
    "threes to channels": ((2, 6, 3), [SpaceToDepth(name="s", input="input", block=3)]),
    "channels to pixels": ((8, 3, 5), [DepthToSpace(name="s", input="input", block=2)]),
    "channels to one channel": ((4, 2, 3), [DepthToSpace(name="s", input="input", block=2)]),
    "channels to threes": ((9, 3, 2), [DepthToSpace(name="s", input="input", block=3)]),
    "there and back": (
        (2, 4, 4),
        [
            SpaceToDepth(name="s", input="input", block=2),
            DepthToSpace(name="d", input="s", block=2),
        ],
    ),
    "any channels": ((6, 3, 3), [select((5, 3, 3, 0))]),
    "slice": ((6, 3, 3), [select((2, 3))]),
    "last channel": ((5, 2, 2), [select((4,))]),
    "first channel": ((5, 2, 2), [select((0,))]),
    "shuffle": ((6, 3, 3), [select((0, 3, 1, 4, 2, 5))]),
    "shuffle in blocks": ((8, 3, 3), [select((1, 0, 4, 5))]),
    "more channels": ((2, 3, 3), [select((0, 0, 1, 1, 1, 1))]),
    "twice": ((4, 3, 3), [Concat(name="c", inputs=("input", "input"))]),
    "vector": (
        (6,),
        [select((0, 3, 1, 4, 2, 5)), Concat(name="c", inputs=("input", "select"))],
    ),
    "split and joined": (
        (4, 3, 3),
        [
            select((0, 1), "a"),
            select((2, 3), "b"),
            MaxPool2d(name="m", input="b", kernel_size=(3, 3), stride=(1, 1), padding=(1, 1, 1, 1)),
            Concat(name="c", inputs=("a", "m", "input")),
        ],
    ),
}


def made(name: str) -> IntegerNetwork:
    shape, layers = NETWORKS[name]
    return IntegerNetwork(input=Tensor(shape, ACT), layers=tuple(layers))


@pytest.mark.parametrize("cycles", [None, 10_000], ids=["fast", "small"])
@pytest.mark.parametrize("name", NETWORKS)
def test_computes_what_the_contract_says_in_the_predicted_cycles(
    name: str, cycles: int | None
) -> None:
    network = made(name)
    plan = plan_network(network, cycles=cycles)
    images = random_images(network, FRAMES, 0)
    expected = forward(network, images)
    for gap, stall in ((0.0, 0.0), (0.3, 0.0), (0.3, 0.6)):
        run = run_frames(Pipeline(plan), images, gap=gap, stall=stall)
        np.testing.assert_equal(run.outputs, expected)
        if not gap:
            assert run.cycles == compute_timeline(plan.graph, FRAMES).cycles
            assert run.cycles == plan.cycles(FRAMES)


@pytest.mark.parametrize("name", NETWORKS)
def test_uses_no_multiplier(name: str) -> None:
    resources = plan_network(made(name)).resources
    assert resources.multipliers == resources.dsps == 0
