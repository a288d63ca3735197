import torch
from torch import nn
from torch.nn import functional as F

from systolith.models import ResNet8


def test_strided_blocks_pad_at_the_bottom_and_right_only() -> None:
    block, x = ResNet8().layer2, torch.randn(2, 16, 8, 8)
    padded = F.pad(x, (0, 1, 0, 1))
    expected = F.conv2d(padded, block.conv1.weight, block.conv1.bias, stride=2)
    assert torch.equal(block.conv1(block.pad(x)), expected)
    assert expected.shape == (2, 32, 4, 4)


def test_shortcuts_are_convolutions_with_bias_and_without_batch_norm() -> None:
    model = ResNet8()
    assert isinstance(model.layer1.shortcut, nn.Identity)
    for block in (model.layer2, model.layer3):
        assert block.shortcut.kernel_size == (1, 1)
        assert block.shortcut.stride == (2, 2)
        assert block.shortcut.bias is not None


def test_has_the_weights_that_the_benchmark_counts() -> None:
    layers = [layer for layer in ResNet8().modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    assert sum(layer.weight.numel() for layer in layers) == 77_360
    assert all(layer.bias is not None for layer in layers)


def test_takes_other_sizes_and_classes() -> None:
    assert ResNet8(classes=3).eval()(torch.zeros(2, 3, 16, 24)).shape == (2, 3)
