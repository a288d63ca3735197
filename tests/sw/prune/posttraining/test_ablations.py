"""Reconstruction beats its own ablations on digits by stated margins."""

from functools import cache

import pytest

from benchmarks.pruning.digits.bench import DigitsBench
from benchmarks.pruning.digits.posttraining import TRIALS
from tests.support.slow import first_few


@cache
def bench(seed: int) -> DigitsBench:
    return DigitsBench(seed=seed)


def loss(trial: str, seed: int) -> float:
    return TRIALS[trial](bench(seed))["test_loss"]


@pytest.mark.parametrize("seed", first_few([0, 1], 1))
def test_chosen_masks_lose_30_percent_less_than_those_of_magnitude(seed: int) -> None:
    obs = loss("obs-1of8-recalibrated", seed)
    assert obs < 0.7 * loss("magnitude-least-squares-1of8-recalibrated", seed)
    assert obs < 0.35 * loss("random-least-squares-1of8-recalibrated", seed)


@pytest.mark.parametrize("seed", first_few([0, 1], 1))
def test_chosen_kernels_lose_10_percent_less_than_those_of_magnitude(seed: int) -> None:
    obs = loss("obs-kernels-2of8-recalibrated", seed)
    assert obs < 0.9 * loss("magnitude-least-squares-kernels-2of8-recalibrated", seed)


@pytest.mark.parametrize("seed", first_few([0, 1], 1))
def test_reconstruction_after_filters_leave_is_worth_more_than_an_epoch(seed: int) -> None:
    assert loss("filters-reconstructed", seed) < 0.5 * loss("filters-one-epoch", seed)
