"""Data that does not fit the model is refused before training."""

import re
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from systolith.data import Dataset
from systolith.train import fit
from tests.support.halves import make_classifier, make_halves


def test_empty_parts_are_refused() -> None:
    data = make_halves()
    empty = replace(data, train_images=data.train_images[:0], train_labels=data.train_labels[:0])
    with pytest.raises(ValueError, match="^data set 'halves' needs training images, got none$"):
        fit(make_classifier(), empty, epochs=1)


def _changed(**parts: Tensor) -> Dataset:
    return replace(make_halves(), **parts)


def _named(outputs: int) -> nn.Sequential:
    model = make_classifier()
    model[-1] = nn.Linear(16, outputs)
    return model


@pytest.mark.parametrize(
    ("model", "data", "problem"),
    [
        (
            _named(5),
            _changed(train_labels=torch.arange(70) % 10),
            (
                "training labels of data set 'halves' must lie in 0..4, as the model has 5 "
                "outputs, got 0..9"
            ),
        ),
        (
            _named(2),
            _changed(train_labels=torch.arange(70) % 2 - 1),
            (
                "training labels of data set 'halves' must lie in 0..1, as the model has 2 "
                "outputs, got -1..0"
            ),
        ),
        (
            nn.Sequential(nn.Conv2d(1, 2, 4)),
            make_halves(),
            (
                "a classifier must give logits of shape (N, classes), got (2, 2, 1, 1); flatten "
                "before returning"
            ),
        ),
        (
            nn.Sequential(nn.Conv2d(3, 2, 3)),
            make_halves(),
            (
                "images of shape (70, 1, 4, 4) do not fit the model: Given groups=1, weight of "
                "size [2, 3, 3, 3], expected input[2, 1, 4, 4] to have 3 channels, but got 1 "
                "channels instead"
            ),
        ),
        (
            _named(2),
            _changed(train_images=torch.full((70, 1, 4, 4), torch.nan)),
            "training images of data set 'halves' must be finite, got NaN or infinite pixels",
        ),
    ],
)
def test_refuses_data_that_does_not_fit_the_model_before_training(
    model: nn.Module, data: Dataset, problem: str
) -> None:
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ValueError, match=f"^{re.escape(problem)}$"):
        fit(model, data, epochs=1)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    fit(model, data, epochs=0)


@pytest.mark.parametrize(("batch_size", "left"), [(1, 1), (23, 1), (69, 1)])
def test_refuses_batches_of_one_image_that_a_batch_norm_cannot_average(
    batch_size: int, left: int
) -> None:
    assert len(make_halves().train_images) % batch_size in (0, left)
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(16, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2)
    )
    message = (
        f"batch_size {batch_size} leaves a last batch of 1 image of 70, in which batch norms "
        "normalize one value of each channel: '2'; give another batch_size"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        fit(model, make_halves(), epochs=1, batch_size=batch_size)
    fit(model, make_halves(), epochs=1, batch_size=68)
    fit(
        make_classifier(), make_halves(), epochs=1, batch_size=69
    )  # whose batch norm sees 2x2 pixels
