"""Sections of experiments as settings of the software half."""

from pathlib import Path

import pytest

from systolith.config import check_experiment
from systolith.quant import PostTraining, WeightRounding
from systolith.stages.software.factories import make_post_training

NEAREST, RECONSTRUCTED = WeightRounding.NEAREST, WeightRounding.RECONSTRUCTED


@pytest.mark.parametrize(
    ("epochs", "quantize", "expected"),
    [
        (0, {}, (RECONSTRUCTED, True)),
        (3, {}, (NEAREST, False)),
        (0, {"rounding": "nearest"}, (NEAREST, True)),
        (0, {"rounding": "nearest", "bias_correction": False}, (NEAREST, False)),
        (3, {"rounding": "reconstructed"}, (RECONSTRUCTED, False)),
        (3, {"bias_correction": True}, (NEAREST, True)),
    ],
)
def test_rounding_depends_on_quantized_epochs_unless_it_is_given(
    epochs: int, quantize: dict[str, object], expected: tuple[WeightRounding, bool]
) -> None:
    content = {
        "name": "small",
        "model": {"factory": "digits_cnn"},
        "data": {"factory": "digits"},
        "train": {"quantize_epochs": epochs},
        "quantize": quantize,
    }
    experiment = check_experiment(content, Path("small.toml"))
    rounding, correction = expected
    assert make_post_training(experiment) == PostTraining(
        rounding=rounding, bias_correction=correction
    )
