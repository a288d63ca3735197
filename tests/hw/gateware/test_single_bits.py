"""Pipelines whose PEs count equal bits: values under stalls, cycles, loaded parameters."""

import numpy as np
import pytest

from systolith.gateware import Pipeline
from systolith.network import IntegerNetwork, forward
from systolith.plan import ArrayShape, NetworkPlan, plan_network
from tests.support.pipeline_bench import run_frames
from tests.support.single_bits import bit_network, sign_network
from tests.support.slow import first_few

FRAMES = 1
ARRAYS = {
    "dense": ArrayShape(rows=5, columns=2, multipliers=2),
    "depthwise": ArrayShape(rows=4, columns=2),
    "sparse": ArrayShape(rows=3, columns=3),
    "second": ArrayShape(rows=2, columns=4, multipliers=3),
    "third": ArrayShape(rows=7, columns=2, multipliers=2),
    "fc": ArrayShape(rows=3, columns=2, multipliers=2),
}
"""Rows that do not divide the sums, so that some are idle."""


def _check(plan: NetworkPlan, *, gap: float, stall: float) -> None:
    network = plan.network
    act, rng = network.input.type, np.random.default_rng(0)
    images = rng.integers(act.low, act.high + 1, (FRAMES, *network.input.shape))
    run = run_frames(Pipeline(plan), images, gap=gap, stall=stall, seed=1)
    for name, expected in forward(network, images).items():
        assert np.array_equal(run.outputs[name], expected)
    if not gap and not stall:
        assert run.cycles == plan.cycles(FRAMES)


@pytest.mark.parametrize(
    ("network", "chosen", "gap"),
    first_few(
        [
            (sign_network(), False, 0.0),
            (bit_network(), False, 0.3),
            (sign_network(1), True, 0.3),
            (bit_network(1), True, 0.0),
            (sign_network(2), True, 0.0),
            (bit_network(2), True, 0.3),
        ],
        2,
    ),
)
def test_values_and_cycles_are_as_planned(
    network: IntegerNetwork, chosen: bool, gap: float
) -> None:
    names = {layer.name for layer in network.layers}
    arrays = {name: array for name, array in ARRAYS.items() if name in names}
    plan = plan_network(network, arrays={} if chosen else arrays, multipliers=150)
    assert chosen or any(engine.marks for engine in plan.convolutions)
    _check(plan, gap=gap, stall=gap)
