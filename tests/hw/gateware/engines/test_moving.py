"""Engines that move channels and pixels: values under stalls, and cycles as predicted."""

import numpy as np
import pytest

from systolith.gateware import Pipeline
from systolith.network import forward
from systolith.plan import compute_timeline, plan_network
from tests.support.moving_networks import MOVING_NETWORKS, moving_network
from tests.support.pipeline_bench import PipelineBench
from tests.support.random_networks import random_images

FRAMES = 3


@pytest.mark.parametrize("cycles", [None, 10_000], ids=["fast", "small"])
@pytest.mark.parametrize("name", MOVING_NETWORKS)
def test_computes_what_the_contract_says_in_the_predicted_cycles(
    name: str, cycles: int | None
) -> None:
    network = moving_network(name)
    plan = plan_network(network, cycles=cycles)
    images = random_images(network, FRAMES, 0)
    expected = forward(network, images)
    bench = PipelineBench(Pipeline(plan))
    for gap, stall in ((0.0, 0.0), (0.3, 0.0), (0.3, 0.6)):
        run = bench.run(images, gap=gap, stall=stall)
        np.testing.assert_equal(run.outputs, expected)
        if not gap:
            assert run.cycles == compute_timeline(plan.graph, FRAMES).cycles
            assert run.cycles == plan.cycles(FRAMES)


@pytest.mark.parametrize("name", MOVING_NETWORKS)
def test_uses_no_multiplier(name: str) -> None:
    resources = plan_network(moving_network(name)).resources
    assert resources.multipliers == resources.dsps == 0
