from collections.abc import Callable

import pytest
import torch
from torch import nn

from systolith.models import DigitsCNN, TinyResNet


@pytest.mark.parametrize("factory", [DigitsCNN, TinyResNet])
def test_the_seed_decides_the_weights_and_leaves_the_global_one_alone(
    factory: Callable[..., nn.Module],
) -> None:
    before = torch.random.get_rng_state()
    first, again, other = (factory(seed=seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_digits_cnn_maps_digits_to_ten_logits() -> None:
    model = DigitsCNN().eval()
    assert model(torch.zeros(3, 1, 8, 8)).shape == (3, 10)
    convolutions = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d)]
    assert all(layer.in_channels % 8 == 0 for layer in convolutions[1:])


def test_tiny_resnet_takes_any_size() -> None:
    model = TinyResNet(channels=3, classes=4).eval()
    assert model(torch.zeros(2, 3, 12, 8)).shape == (2, 4)
