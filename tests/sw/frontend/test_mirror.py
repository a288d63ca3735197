"""PyTorch runs what the contract allows beyond our own quantizer: zero points, floor, wrapping."""

import numpy as np
from hypothesis import HealthCheck, given, settings

from systolith.frontend import mirror
from systolith.network import IntegerNetwork, trace
from tests.sw.network.strategies import generators, images, networks


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(networks(), generators())
def test_random_networks_agree_with_the_golden_arithmetic(
    network: IntegerNetwork, rng: np.random.Generator
) -> None:
    inputs = images(network.input, rng)
    golden = trace(network, inputs)
    found = mirror(network).trace(inputs)
    assert list(found) == list(golden)
    for name in golden:
        assert np.array_equal(found[name], golden[name]), name
