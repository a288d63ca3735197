"""Random networks: hls4ml's own C simulation and our RTL give the same numbers."""

from pathlib import Path

import numpy as np
import pytest

from systolith.hls4ml_backend.tracing import compute_accumulators
from systolith.network import Add, AvgPool2d, Conv2d, trace
from tests.flow.hls4ml_backend.comparing import both, convert, images
from tests.flow.hls4ml_backend.random_models import random_case
from tests.support.slow import first_few


@pytest.mark.parametrize("seed", first_few(range(55), 1))
def test_rtl_equals_c_simulation(seed: int, tmp_path: Path) -> None:
    model, config = random_case(seed)
    channels, height, width = model.shape
    x = images((height, width, channels), 6, seed, scale=4.0)
    rtl, csim = both(model, config, x, tmp_path)
    assert rtl.shape == csim.shape and rtl.dtype == csim.dtype
    assert np.array_equal(rtl, csim)


def test_values_do_overflow_and_bits_do_get_lost(tmp_path: Path) -> None:
    overflows, losses = 0, 0
    for seed in range(5):
        model, config = random_case(seed)
        channels, height, width = model.shape
        converted = convert(model, config, tmp_path, multipliers=8)
        network = converted.mapped.network
        x = images((height, width, channels), 6, seed, scale=4.0)
        tensors = trace(network, converted.quantize(x))
        for layer in network.layers:
            if isinstance(layer, Conv2d | Add | AvgPool2d):
                sums = (
                    compute_accumulators(network, layer.name, tensors)
                    * layer.requantize.multiplier[0]
                )
                rounded = sums >> layer.requantize.shift[0]
                overflows += np.count_nonzero(rounded > layer.output.high)
                losses += np.count_nonzero(rounded << layer.requantize.shift[0] != sums)
    assert overflows > 100
    assert losses > 100
