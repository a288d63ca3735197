"""Learned widths differ between layers, and lose less than random widths of equal cost."""

import pytest

from benchmarks.pruning.digits.bench import DigitsBench
from benchmarks.pruning.digits.widths import TRIALS
from systolith.quant import DJPQ


def test_layers_get_different_widths() -> None:
    bench = DigitsBench(seed=0)
    model = bench.trained()
    djpq = DJPQ(model, (), bench.data.calibration_images)
    full = djpq.bit_operations(model)
    bench.fit(model, sparsifier=djpq)
    bits = djpq.bits().values()
    assert len({layer.weight_bits for layer in bits}) > 1
    assert len({layer.act_bits for layer in bits} - {None}) > 1
    assert djpq.bit_operations(model) < 0.25 * full


@pytest.mark.slow
def test_learned_widths_beat_random_widths_of_equal_cost() -> None:
    bench = DigitsBench(seed=0)
    learned, drawn = TRIALS["djpq"](bench), TRIALS["random"](bench)
    assert learned["bit_operations"] <= drawn["bit_operations"]
    assert learned["test_loss"] < 0.75 * drawn["test_loss"]
