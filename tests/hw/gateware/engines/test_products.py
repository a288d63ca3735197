"""Products of two streams: values under stalls, and cycles as predicted."""

import numpy as np
import pytest
import torch

from systolith.frontend import lower
from systolith.gateware import Pipeline
from systolith.network import (
    ActType,
    IntegerNetwork,
    Multiply,
    Requantize,
    SelectChannels,
    Tensor,
    Upsample,
    forward,
)
from systolith.plan import plan_network
from systolith.quant import prepare
from tests.support.gated_models import TwoGates
from tests.support.pipeline_bench import PipelineBench
from tests.support.random_networks import random_images

FRAMES = 3
SCALE = Requantize(multiplier=np.array([3, 5, 2, 7]), shift=np.array([6]))


def _gates() -> IntegerNetwork:
    torch.manual_seed(0)
    return lower(prepare(TwoGates().eval(), torch.rand(4, 2, 5, 5)))


def _square() -> IntegerNetwork:
    square = Multiply(
        name="square",
        inputs=("input", "input"),
        requantize=SCALE,
        output=ActType(bits=6, signed=False, zero_point=3),
    )
    return IntegerNetwork(
        input=Tensor((4, 2, 3), ActType(bits=5, signed=True, zero_point=-2)), layers=(square,)
    )


def _spread() -> IntegerNetwork:
    act = ActType(bits=4, signed=False, zero_point=5)
    layers = (
        SelectChannels(name="one", input="input", channels=(2,)),
        SelectChannels(name="four", input="one", channels=(0, 0, 0, 0)),
        Multiply(name="product", inputs=("four", "input"), requantize=SCALE, output=act),
    )
    return IntegerNetwork(input=Tensor((4, 3, 3), act), layers=layers)


def _vector() -> IntegerNetwork:
    act = ActType(bits=4, signed=True)
    layers = (
        Upsample(name="image", input="input", factors=(2, 3)),
        Multiply(name="product", inputs=("image", "image"), requantize=SCALE, output=act),
    )
    return IntegerNetwork(input=Tensor((4,), act), layers=layers)


NETWORKS = {"gates": _gates, "square": _square, "one channel": _spread, "vector": _vector}


@pytest.mark.parametrize("name", NETWORKS)
def test_computes_what_the_contract_says_in_the_predicted_cycles(name: str) -> None:
    network = NETWORKS[name]()
    plan = plan_network(network, cycles=200)
    images = random_images(network, FRAMES, 0)
    expected = forward(network, images)
    bench = PipelineBench(Pipeline(plan))
    for gap, stall in ((0.0, 0.0), (0.3, 0.6)):
        run = bench.run(images, gap=gap, stall=stall)
        np.testing.assert_equal(run.outputs, expected)
        if not gap:
            assert run.cycles == plan.cycles(FRAMES)
