"""PyTorch runs all of the contract: zero points, every rounding, wrapping."""

import numpy as np
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from systolith.frontend import mirror
from systolith.frontend.operators import IntegerRequantizer
from systolith.network import ActType, IntegerNetwork, requantize, trace
from tests.support.drawn_networks import images, networks
from tests.support.strategies import act_types, generators, requantizes


@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.too_slow])
@given(networks(), generators())
def test_random_networks_agree_with_the_golden_arithmetic(
    network: IntegerNetwork, rng: np.random.Generator
) -> None:
    inputs = images(network.input, rng)
    golden = trace(network, inputs)
    computed = mirror(network).trace(inputs)
    assert list(computed) == list(golden)
    for name in golden:
        assert np.array_equal(computed[name], golden[name]), name


@given(data=st.data(), output=act_types(), channels=st.integers(1, 3))
def test_requantization_agrees_at_ties_and_beside_them(
    data: st.DataObject, output: ActType, channels: int
) -> None:
    spec = data.draw(requantizes(channels, output))
    place = min(max(int(spec.shift[0]) - 1, 0), 45)
    most = min(63, 1 << 46 - place)
    halves = data.draw(st.lists(st.integers(-most, most), min_size=1))
    beside = data.draw(st.sampled_from([-1, 0, 1]))
    acc = np.array([[(half << place) + beside for half in halves]])
    acc = np.repeat(acc[:, None], channels, axis=1)
    arrays = (spec.offset, spec.negative, spec.thresholds)
    mirrored = IntegerRequantizer(
        torch.tensor(spec.multiplier),
        torch.tensor(spec.shift),
        output,
        spec.clamp,
        spec.rounding,
        spec.overflow,
        *(None if array is None else torch.tensor(array) for array in arrays),
    )
    computed = mirrored(torch.tensor(acc)).numpy()
    assert np.array_equal(computed, requantize(acc, spec, output))
