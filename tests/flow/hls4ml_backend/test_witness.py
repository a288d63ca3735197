"""Random networks: hls4ml's own C simulation and our RTL give the same numbers."""

from pathlib import Path

import numpy as np
import pytest

from tests.flow.hls4ml_backend.comparing import both, images
from tests.flow.hls4ml_backend.random_models import random_case

SEEDS = [
    *range(5),
    *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(5, 55)),
]


@pytest.mark.parametrize("seed", SEEDS)
def test_rtl_equals_c_simulation(seed: int, tmp_path: Path) -> None:
    model, config = random_case(seed)
    channels, height, width = model.shape
    x = images((height, width, channels), 6, seed, scale=4.0)
    rtl, csim = both(model, config, x, tmp_path)
    assert rtl.shape == csim.shape and rtl.dtype == csim.dtype
    assert np.array_equal(rtl, csim)
