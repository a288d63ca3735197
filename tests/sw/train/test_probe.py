"""What a training refuses before its first step, and what it does not refuse."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from systolith.data import Dataset, load_digits
from systolith.models import DigitsCNN
from systolith.train import Recipe, TrainingError, evaluate, fit
from systolith.train.devices import float64_problems


@pytest.fixture(scope="module")
def data() -> Dataset:
    digits = load_digits()
    return replace(
        digits, train_images=digits.train_images[:64], train_labels=digits.train_labels[:64]
    )


class _Rows(nn.Module):
    """Gives two rows of logits for each image."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(64, 20)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.linear(images.flatten(1))
        return logits.reshape(-1, 10)


class _Normed(nn.Module):
    """Calls its batch norm by keyword, twice."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.linear, self.norm, self.last = nn.Linear(64, 8), norm, nn.Linear(8, 10)

    def forward(self, images: Tensor) -> Tensor:
        hidden = self.norm(input=self.linear(images.flatten(1)))
        logits: Tensor = self.last(self.norm(input=hidden))
        return logits


class _Frozen(_Normed):
    """Keeps its batch norm in evaluation mode."""

    def train(self, mode: bool = True) -> "_Frozen":
        super().train(mode)
        self.norm.eval()
        return self


def test_every_image_needs_its_own_logits(data: Dataset) -> None:
    with pytest.raises(TrainingError, match="^a classifier .* one row of logits per image, got 4"):
        fit(_Rows(), data, epochs=1)
    for outputs in (_Rows(), lambda images: torch.rand(1, 10)):
        with pytest.raises(TrainingError, match="must give one row of logits per image"):
            evaluate(outputs, data.train_images, data.train_labels)


def test_a_last_batch_of_one_image_is_refused_where_a_batch_norm_trains(data: Dataset) -> None:
    for norm in (nn.BatchNorm1d(8), nn.BatchNorm1d(8, track_running_stats=False)):
        fit(_Normed(norm), data, epochs=1, batch_size=62)
        message = "^batch_size 63 leaves a last batch of 1 image of 64, .*: 'norm'; give another"
        with pytest.raises(TrainingError, match=message):
            fit(_Normed(norm), data, epochs=1, batch_size=63)
    model = _Frozen(nn.BatchNorm1d(8))
    fit(model, data, epochs=1, batch_size=63)
    with pytest.raises(TrainingError, match="^batch_size 1 leaves"):
        fit(_Normed(nn.BatchNorm1d(8)), data, epochs=1, batch_size=1)


def test_statistics_that_are_not_finite_are_refused(data: Dataset) -> None:
    model = DigitsCNN()
    assert isinstance(model.bn1, nn.BatchNorm2d) and model.bn1.running_mean is not None
    model.bn1.running_mean.fill_(torch.nan)
    message = "^weights of the model must be finite, but 'bn1.running_mean' has NaN or infinite"
    with pytest.raises(TrainingError, match=message):
        fit(model, data, epochs=1)


def test_lazy_modules_get_their_weights_and_train(data: Dataset) -> None:
    fit(nn.Sequential(nn.Flatten(), nn.LazyLinear(10)), data, epochs=1)


def test_numbers_of_numpy_train_and_resume(data: Dataset, tmp_path: Path) -> None:
    numbers: dict[str, Any] = {
        "epochs": np.int64(1),
        "learning_rate": np.float64(1e-3),
        "warmup": np.float32(0.1),
        "batch_size": np.int32(64),
        "weight_decay": np.float64(0.1),
        "seed": np.int64(1),
        "ema": np.float64(0.5),
    }
    for _ in range(2):
        fit(DigitsCNN(), data, checkpoint=tmp_path / "state", **numbers)
    recipe = Recipe(seed=numbers["seed"], learning_rate=numbers["learning_rate"])
    assert type(recipe.seed) is int and type(recipe.learning_rate) is float


@pytest.mark.parametrize(
    "change",
    [
        lambda labels: labels[:, None],
        lambda labels: labels.float(),
        lambda labels: labels[:-1],
    ],
)
def test_evaluation_needs_one_whole_number_per_image(
    data: Dataset, change: Callable[[Tensor], Tensor]
) -> None:
    message = "^evaluation needs images and a whole number for each, got images of .64, 1, 8, 8. "
    with pytest.raises(TrainingError, match=message):
        evaluate(DigitsCNN(), data.train_images, change(data.train_labels))


def test_evaluation_names_images_that_do_not_fit(data: Dataset) -> None:
    for images in (data.train_images.to(torch.uint8), data.train_images.repeat(1, 3, 1, 1)):
        shown = re.escape(f"{images.dtype} images of shape {tuple(images.shape)}")
        with pytest.raises(TrainingError, match=f"^{shown} do not fit the model: "):
            evaluate(DigitsCNN(), images, data.train_labels)


def test_only_mps_lacks_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.mps, "is_available", lambda: True)
    for name, count in {"mps": 1, "auto": 1, "cpu": 0, "gpu": 0, "cuda": 0}.items():
        assert len(list(float64_problems(name))) == count
