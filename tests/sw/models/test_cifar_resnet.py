import pytest
import torch
from torch import nn
from torch.nn import functional as F

from systolith.models import CifarResNet, resnet20, resnet56, resnet110
from systolith.models._blocks import identity_shortcut


@pytest.mark.parametrize(("inputs", "filters", "stride"), [(16, 32, 2), (4, 4, 3), (3, 8, 1)])
def test_a_shortcut_subsamples_and_puts_zero_channels_on_both_sides(
    inputs: int, filters: int, stride: int
) -> None:
    x = torch.randn(2, inputs, 9, 6)
    first = (filters - inputs) // 2
    expected = F.pad(x[:, :, ::stride, ::stride], (0, 0, 0, 0, first, filters - inputs - first))
    shortcut = identity_shortcut(inputs, filters, stride)
    assert torch.equal(shortcut(x), expected)
    assert not shortcut.weight.requires_grad


def test_the_name_says_the_depth() -> None:
    for make, depth in ((resnet20, 20), (resnet56, 56), (resnet110, 110)):
        layers = [layer for layer in make().modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
        assert sum(layer.weight.requires_grad for layer in layers) == depth


def test_stages_halve_images_and_double_filters() -> None:
    model = CifarResNet(2, classes=7).eval()
    x = model.relu1(model.bn1(model.conv1(torch.rand(1, 3, 32, 32))))
    shapes = [tuple(x.shape[1:])]
    for layer in (model.layer1, model.layer2, model.layer3):
        x = layer(x)
        shapes.append(tuple(x.shape[1:]))
    assert shapes == [(16, 32, 32), (16, 32, 32), (32, 16, 16), (64, 8, 8)]
    assert model(torch.rand(2, 3, 16, 24)).shape == (2, 7)


def test_a_block_that_adds_nothing_passes_on_what_it_gets() -> None:
    block = CifarResNet(2).layer2[1].eval()
    nn.init.zeros_(block.bn2.weight)
    x = torch.rand(2, 32, 4, 4)
    assert torch.equal(block(x), x)


def test_refuses_a_network_without_blocks() -> None:
    message = "^a residual network needs at least 1 block per stage, got 0$"
    with pytest.raises(ValueError, match=message):
        CifarResNet(0)
