"""Bit operations against counts by hand."""

import pytest
import torch
from torch import Tensor, nn

from systolith.models import resnet20
from systolith.prune import FilterMasks, find_channel_groups
from systolith.quant import UnsupportedModelError
from systolith.quant.bit_operations import LayerOperations, layer_operations

IMAGES = torch.zeros(1, 2, 6, 6)


class _Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(2, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.pool = nn.MaxPool2d(2)
        self.depthwise = nn.Conv2d(4, 4, 1, groups=4)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.depthwise(self.pool(self.norm(self.conv1(x)).relu()).relu())
        logits: Tensor = self.fc(self.flatten(x))
        return logits


def _mask(*kept: int) -> Tensor:
    return torch.tensor(kept, dtype=torch.bool)


def test_counts_by_hand() -> None:
    model = _Net()
    groups = find_channel_groups(model, IMAGES)
    conv1, depthwise, fc = layer_operations(model, groups, IMAGES)
    # 4x4 places, 4 filters of 2x3x3; 2x2 places, 4 filters of 1; 3 outputs of 4x2x2.
    assert (conv1.macs, depthwise.macs, fc.macs) == (16 * 4 * 18, 4 * 4, 3 * 16)
    assert (conv1.source, depthwise.source, fc.source) == ("", "conv1", "depthwise")
    assert conv1.bit_operations({}, 3, 8) == 16 * 4 * 18 * 3 * 8
    kept = FilterMasks({"conv1": _mask(1, 0, 0, 1)}, groups)
    assert conv1.bit_operations(kept, 3, 8) == 16 * 2 * 18 * 3 * 8
    assert depthwise.bit_operations(kept, 2, 5) == 4 * 2 * 2 * 5
    assert fc.bit_operations(kept, 4, 4) == 3 * 8 * 4 * 4


def test_both_sides_of_a_layer_count() -> None:
    model = nn.Sequential(nn.Conv2d(2, 4, 1), nn.Conv2d(4, 6, 1), nn.Conv2d(6, 1, 1))
    groups = find_channel_groups(model, IMAGES)
    middle = layer_operations(model, groups, IMAGES)[1]
    kept = {"0": _mask(1, 0, 0, 0), "1": _mask(1, 1, 0, 0, 0, 0)}
    assert middle.bit_operations(kept, 8, 8) == 36 * 1 * 2 * 64


def test_channels_of_several_groups_count_on_their_own() -> None:
    layer = LayerOperations(
        name="",
        source="",
        macs=600,
        outputs={"a": (0, -1, 1, -1, 2, -1), "b": (-1, 0, -1, 1, -1, -1)},
        inputs={},
    )
    kept = {"a": _mask(1, 0, 0), "b": _mask(0, 1)}
    # Left are channel 0 of group a, 3 of group b, and 5, which is of neither.
    assert layer.bit_operations(kept, 2, 2).item() == pytest.approx(300 * 4)
    assert layer.bit_operations({"b": kept["b"]}, 2, 2).item() == pytest.approx(500 * 4)


def test_shares_and_widths_have_gradients() -> None:
    model = nn.Sequential(nn.Conv2d(2, 4, 1), nn.Conv2d(4, 1, 1))
    first, second = layer_operations(model, find_channel_groups(model, IMAGES), IMAGES)
    share = torch.tensor([1.0, 0.5, 0.0, 0.5], requires_grad=True)
    bits = torch.tensor(5.0, requires_grad=True)
    (first.bit_operations({"0": share}, bits, 8)).backward()
    assert torch.equal(share.grad, torch.full((4,), 36 * 2 * 5 * 8.0))
    assert bits.grad == 36 * 4 * 2 * 0.5 * 8
    assert second.bit_operations({"0": share}, 2, 2).item() == 36 * 4 * 0.5 * 4


def test_pools_that_average_and_additions_are_sources_by_their_own_names() -> None:
    model, images = resnet20(), torch.zeros(1, 3, 8, 8)
    groups = find_channel_groups(model, images)
    sources = {layer.name: layer.source for layer in layer_operations(model, groups, images)}
    assert sources["layer1.0.conv1"] == "conv1"
    assert sources["layer1.0.conv2"] == "layer1.0.conv1"
    assert sources["layer1.1.conv1"] == "add"
    assert sources["layer2.0.shortcut"] == sources["layer2.0.conv1"] == "add_2"
    assert sources["linear"] == "pool"


def test_refuses_what_prepare_refuses() -> None:
    model = nn.Sequential(nn.Conv2d(2, 2, 1), nn.LPPool2d(2, 2))
    with pytest.raises(UnsupportedModelError, match=r"^'1' \(LPPool2d\): "):
        layer_operations(model, (), IMAGES)
