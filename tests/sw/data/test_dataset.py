import re

import pytest
import torch

from systolith.data import Dataset


def test_reports_all_problems_at_once() -> None:
    message = (
        "data set 'x':\n  - train_images must be float32 of shape (N, C, H, W), (N, C, L) or "
        "(N, F), got torch.float64 (3, 8, 8)\n"
        "  - test_labels must be int64 of shape (2,), got torch.int32 (2,)\n"
        "  - training and test images must have one shape, got (8, 8) and (1, 8, 8)"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Dataset(
            name="x",
            train_images=torch.zeros(3, 8, 8, dtype=torch.float64),
            train_labels=torch.zeros(3, dtype=torch.int64),
            test_images=torch.zeros(2, 1, 8, 8),
            test_labels=torch.zeros(2, dtype=torch.int32),
        )


def _data(images: torch.Tensor) -> Dataset:
    labels = torch.arange(len(images)) % 3
    return Dataset(
        name="x",
        train_images=images,
        train_labels=labels,
        test_images=images[:2] + 1,
        test_labels=labels[:2],
    )


def test_normalizing_makes_each_channel_zero_on_average_with_deviation_one() -> None:
    images = torch.rand(6, 2, 4, 4) * torch.tensor([1.0, 5.0])[:, None, None] + 3
    mean, deviation = images.mean((0, 2, 3)), images.std((0, 2, 3))
    data = _data(images)
    before = images.clone()
    normalized = data.normalize(mean.tolist(), deviation.tolist())
    assert torch.allclose(normalized.train_images.mean((0, 2, 3)), torch.zeros(2), atol=1e-5)
    assert torch.allclose(normalized.train_images.std((0, 2, 3)), torch.ones(2), atol=1e-5)
    expected = (data.test_images - mean[:, None, None]) / deviation[:, None, None]
    assert torch.equal(normalized.test_images, expected)
    assert torch.equal(normalized.train_labels, data.train_labels)
    assert torch.equal(data.train_images, before)


@pytest.mark.parametrize(
    ("mean", "deviation"), [([0.5], [1.0, 1.0]), ([0.5, 0.5], [1.0]), ([0.0, 0.0], [1.0, 0.0])]
)
def test_normalizing_needs_a_mean_and_a_positive_deviation_per_channel(
    mean: list[float], deviation: list[float]
) -> None:
    message = f"normalizing 'x' needs 2 means and positive deviations, got {mean} and {deviation}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        _data(torch.rand(3, 2, 4, 4)).normalize(mean, deviation)


def test_knows_the_shape_and_the_number_of_classes() -> None:
    data = _data(torch.rand(7, 2, 4, 5))
    assert data.input_shape == (2, 4, 5)
    assert data.classes == 3
