"""Objectives of training."""

import pytest
import torch
from torch import Tensor, nn

from systolith.data import Dataset, combine_augments, shift_images
from systolith.train import CrossEntropy, TrainingError, fit
from systolith.train.objectives import describe_setting


def test_smoothed_labels_are_the_papers() -> None:
    logits, labels = torch.tensor([[1.0, 0.0, -2.0], [0.5, 3.0, 0.0]]), torch.tensor([2, 1])
    targets = torch.full((2, 3), 0.3 / 3)
    targets[[0, 1], labels] += 0.7
    wanted = -(targets * logits.log_softmax(1)).sum(1).mean()
    objective = CrossEntropy(label_smoothing=0.3)
    torch.testing.assert_close(objective(logits, labels), wanted)
    torch.testing.assert_close(CrossEntropy()(logits, targets), wanted)


@pytest.mark.parametrize("smoothing", [-0.1, 1.0, float("nan")])
def test_refuses_smoothing_out_of_range(smoothing: float) -> None:
    with pytest.raises(TrainingError, match=r"^label_smoothing must lie in 0\.\.1, below 1, got"):
        CrossEntropy(label_smoothing=smoothing)


def test_training_takes_any_objective() -> None:
    images = torch.rand(16, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    labels = (images.mean(dim=(1, 2, 3)) > 0.5).long()
    data = Dataset(
        name="means",
        train_images=images,
        train_labels=labels,
        test_images=images,
        test_labels=labels,
    )
    seen: list[tuple[torch.dtype, torch.dtype]] = []

    def squares(logits: Tensor, labels: Tensor) -> Tensor:
        seen.append((logits.dtype, labels.dtype))
        return (logits - nn.functional.one_hot(labels, 2)).square().mean()

    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    before = squares(model(images), labels)
    fit(model, data, epochs=10, batch_size=8, objective=squares)
    assert squares(model(images), labels) < before
    assert set(seen) == {(torch.float32, torch.int64)}


def _same(images: Tensor, generator: torch.Generator) -> Tensor:
    return images


def test_descriptions_are_the_same_in_each_process() -> None:
    assert describe_setting(None) is None
    assert describe_setting(CrossEntropy()) == "CrossEntropy(label_smoothing=0.0)"
    chain = combine_augments([shift_images, _same])
    assert describe_setting(chain) == "_Chain(parts=[RandomCrop(padding=1, mirror=False), _same])"
    smoothed = nn.CrossEntropyLoss(label_smoothing=0.1)
    text = "CrossEntropyLoss(reduction=mean, ignore_index=-100, label_smoothing=0.1)"
    assert describe_setting(smoothed) == text
    assert describe_setting(torch.nn.functional.cross_entropy) == "cross_entropy"
