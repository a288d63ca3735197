"""Images made from the statistics of batch norms."""

from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from systolith.data import load_digits
from systolith.foundation import Progress
from systolith.models import DigitsCNN
from systolith.network import KOutOfN, Pattern
from systolith.prune import (
    PruneError,
    ReconstructingPruner,
    all_convolutions_but_first,
    distill_images,
)
from systolith.train import Recipe, train_float

SHAPE = (1, 8, 8)


@pytest.fixture(scope="module")
def trained() -> nn.Module:
    model = DigitsCNN(seed=0)
    train_float(model, load_digits(seed=0), Recipe(float_epochs=2))
    return model.eval()


def _largest_difference(model: nn.Module, images: Tensor) -> float:
    """Of means from the stored ones, in stored deviations."""
    differences: list[Tensor] = []

    def compare(norm: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        mean, variance = norm.get_buffer("running_mean"), norm.get_buffer("running_var")
        differences.append((arguments[0].mean((0, 2, 3)) - mean) / variance.sqrt())

    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    handles = [norm.register_forward_pre_hook(compare) for norm in norms]
    with torch.no_grad():
        model(images)
    for handle in handles:
        handle.remove()
    return max(float(each.abs().max()) for each in differences)


def test_statistics_become_those_of_the_batch_norms(trained: nn.Module) -> None:
    before, seen = deepcopy(trained.state_dict()), list[Progress]()
    wanted = {"mean": 0.3, "deviation": 0.4}
    images = distill_images(trained, SHAPE, 65, steps=100, progress=seen.append, **wanted)
    assert images.shape == (65, *SHAPE) and images.dtype == torch.float32
    noise = 0.3 + 0.4 * torch.randn(65, *SHAPE, generator=torch.Generator().manual_seed(1))
    assert _largest_difference(trained, noise) > 5 * _largest_difference(trained, images)
    assert abs(float(images.mean()) - 0.3) < 0.1 and abs(float(images.std()) - 0.4) < 0.1
    assert [each.done for each in seen] == list(range(1, 101)) and seen[-1].total == 100
    assert all(torch.equal(value, before[name]) for name, value in trained.state_dict().items())
    again = distill_images(trained, SHAPE, 65, steps=100, **wanted)
    assert torch.equal(again, images)


def test_reconstruction_from_them_is_better_than_from_noise(trained: nn.Module) -> None:
    data = load_digits(seed=0)
    mean, deviation = float(data.train_images.mean()), float(data.train_images.std())
    made = distill_images(trained, SHAPE, 128, steps=100, mean=mean, deviation=deviation)
    noise = mean + deviation * torch.randn(128, *SHAPE, generator=torch.Generator().manual_seed(1))

    def loss(images: Tensor) -> float:
        model = deepcopy(trained)
        patterns = all_convolutions_but_first(model, Pattern(select=KOutOfN(1, 4)))
        ReconstructingPruner(patterns=patterns, images=images).prune_(model)
        with torch.no_grad():
            return float(F.cross_entropy(model(data.test_images), data.test_labels))

    from_images, from_made, from_noise = (
        loss(images) for images in (data.train_images[:128], made, noise)
    )
    print(f"true images {from_images:.3f}, made {from_made:.3f}, noise {from_noise:.3f}")
    assert from_images < from_made < 0.9 * from_noise


def test_all_problems_are_named_at_once() -> None:
    with pytest.raises(PruneError) as caught:
        distill_images(nn.Conv2d(1, 1, 3), (1, 0), 1, steps=0, batch_size=2.5, deviation=0)
    assert list(caught.value.problems) == [
        "count must be a whole number of at least 2, got 1",
        "steps must be a whole number of at least 1, got 0",
        "batch_size must be a whole number of at least 2, got 2.5",
        "shape must be lengths of at least 1, got (1, 0)",
        "model must have batch norms that keep statistics, got none",
        "deviation must be above 0, got 0",
    ]


def test_sequences_and_batch_norms_of_vectors() -> None:
    model = nn.Sequential(
        nn.Conv1d(2, 3, 3), nn.BatchNorm1d(3), nn.Flatten(), nn.Linear(12, 4), nn.BatchNorm1d(4)
    )
    model(3 + torch.rand(40, 2, 6))
    images = distill_images(model.eval(), (2, 6), 5, batch_size=2)
    assert images.shape == (5, 2, 6)
    with torch.no_grad():
        found = model[:4](images).mean(0)
    assert torch.allclose(found, model[4].running_mean, atol=0.2)
