"""Methods beat their own ablations on digits, by margins that three seeds gave room for."""

import pytest

from benchmarks.pruning.digits.bench import DigitsBench
from benchmarks.pruning.digits.masks import PATTERNS, TRIALS
from systolith.prune import DPP, MaskStatistics, all_convolutions_but_first
from systolith.train import EpochProgress


@pytest.fixture(scope="module")
def bench() -> DigitsBench:
    bench = DigitsBench(seed=0)
    bench.trained()
    return bench


def test_drawn_masks_beat_frozen_masks_by_magnitude(bench: DigitsBench) -> None:
    """1-of-16: a third less loss, and most of the kept weights are others."""
    drawn, frozen = TRIALS["dpp-1of16"](bench), TRIALS["magnitude-1of16"](bench)
    assert drawn["test_loss"] < frozen["test_loss"] / 1.5
    assert drawn["moved"] > 0.5


def test_drawn_masks_move_under_sgd_as_well(bench: DigitsBench) -> None:
    """Where weights learn fast, masks matter less; seeds differ by more than a fixed margin."""
    drawn, frozen = TRIALS["dpp-1of16-sgd"](bench), TRIALS["random-1of16-sgd"](bench)
    assert drawn["test_loss"] < frozen["test_loss"]
    assert drawn["moved"] > 0.5


@pytest.mark.slow
def test_drawn_masks_from_random_logits_beat_random_masks(bench: DigitsBench) -> None:
    drawn, frozen = TRIALS["dpp-random-init-1of16"](bench), TRIALS["random-1of16"](bench)
    assert drawn["test_loss"] < frozen["test_loss"] / 1.4


@pytest.mark.slow
@pytest.mark.parametrize("method", ["spp", "dpf", "admm"])
def test_methods_beat_random_masks(bench: DigitsBench, method: str) -> None:
    trained, frozen = TRIALS[f"{method}-1of16"](bench), TRIALS["random-1of16"](bench)
    assert trained["test_loss"] < frozen["test_loss"] / 1.1


def test_confidence_and_diversity_move_over_training(bench: DigitsBench) -> None:
    model = bench.trained()
    dpp = DPP(model, all_convolutions_but_first(model, PATTERNS["1of16"]))
    curve: list[MaskStatistics] = []

    def note(progress: EpochProgress) -> None:
        if progress.epoch_done:
            curve.append(dpp.statistics()["conv3"])

    bench.fit(model, sparsifier=dpp, epochs=6, progress=note)
    for values in ([s.confidence for s in curve], [s.diversity for s in curve]):
        assert values[-1] > values[0] + 0.2
        assert values[:5] == sorted(values[:5]), "until masks are fixed at 80 %"
