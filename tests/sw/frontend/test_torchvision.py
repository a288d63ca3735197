"""Networks as torchvision writes them become integers that golden arithmetic computes, too.

Blocks are written here as torchvision does. The classes themselves run where torchvision is
installed, as ``make test-torchvision`` does: its wheel is built for CUDA, so it is no dependency.
"""

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from systolith.exchange import Format, export_onnx, import_onnx
from systolith.frontend import IntegerModel, lower
from systolith.network import IntegerNetwork, trace
from systolith.prune import (
    FilterBudget,
    FilterScore,
    find_channel_groups,
    remove_filters,
    score_filters,
    select_filters,
)
from systolith.quant import prepare
from tests.support.torchvision_models import load_torchvision

TORCHVISION = load_torchvision()
CLASSES = (
    *("mobilenet_v2", "mobilenet_v3_small", "shufflenet_v2_x0_5", "squeezenet1_0"),
    *("squeezenet1_1", "resnet18", "mnasnet0_5", "densenet121", "googlenet"),
    *("regnet_x_400mf", "regnet_y_400mf", "efficientnet_b0"),
)


def assert_becomes_integers(model: nn.Module, images: Tensor) -> IntegerNetwork:
    """Assert that integer mode, golden arithmetic and fake quantization agree in every value."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of tensors that are rescaled
        quantized = prepare(model.eval(), images).eval()
    network, integers = lower(quantized), IntegerModel(quantized)
    given = integers.quantize_input(images)
    golden, mirrored = trace(network, given), integers.trace(given)
    assert golden.keys() == mirrored.keys()
    assert all(np.array_equal(golden[name], mirrored[name]) for name in golden)
    step = quantized.quantizer(network.layers[-1].name).step
    assert torch.equal(quantized(images), integers.logits(images) * step)
    return network


class ShuffleUnit(nn.Module):
    """A unit of ShuffleNetV2."""

    def __init__(self) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            *(nn.Conv2d(4, 4, 1, bias=False), nn.BatchNorm2d(4), nn.ReLU(inplace=True)),
            *(nn.Conv2d(4, 4, 3, padding=1, groups=4, bias=False), nn.BatchNorm2d(4)),
        )

    def forward(self, x: Tensor) -> Tensor:
        x1, x2 = x.chunk(2, dim=1)
        x = torch.cat((x1, self.branch(x2)), dim=1)
        n, c, h, w = x.size()
        x = torch.transpose(x.view(n, 2, c // 2, h, w), 1, 2).contiguous()
        return x.view(n, c, h, w)


class Fire(nn.Module):
    """A module of SqueezeNet."""

    def __init__(self) -> None:
        super().__init__()
        self.squeeze, self.squeeze_activation = nn.Conv2d(8, 3, 1), nn.ReLU(inplace=True)
        self.expand1x1, self.expand3x3 = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 3, padding=1)
        self.activation = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.squeeze_activation(self.squeeze(x))
        parts = [self.activation(self.expand1x1(x)), self.activation(self.expand3x3(x))]
        return torch.cat(parts, 1)


class InvertedResidual(nn.Module):
    """A block of MobileNetV2 or MNASNet."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, filters, groups in ((8, 16, 1), (16, 16, 16), (16, 8, 1)):
            conv = nn.Conv2d(inputs, filters, 1 if groups == 1 else 3, groups=groups, bias=False)
            conv.padding = (conv.kernel_size[0] // 2, conv.kernel_size[0] // 2)
            layers += [conv, nn.BatchNorm2d(filters), nn.ReLU6(inplace=True)]
        self.conv = nn.Sequential(*layers[:-1])

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x + self.conv(x)
        return y


class DenseBlock(nn.ModuleDict):
    """Layers of DenseNet that read a list of tensors, and a transition."""

    def __init__(self) -> None:
        super().__init__()
        for i in range(2):
            width = 8 + 4 * i
            parts = nn.BatchNorm2d(width), nn.ReLU(inplace=True), nn.Conv2d(width, 4, 3, padding=1)
            self.add_module(f"denselayer{i + 1}", nn.Sequential(*parts))
        self.add_module("transition", nn.Sequential(nn.Conv2d(16, 8, 1), nn.AvgPool2d(2, 2)))

    def forward(self, x: Tensor) -> Tensor:
        features = [x]
        for name, layer in self.items():
            if name != "transition":
                features.append(layer(torch.cat(features, 1)))
        y: Tensor = self["transition"](torch.cat(features, 1))
        return y


class InceptionBlock(nn.Module):
    """Branches of GoogLeNet and Inception."""

    def __init__(self) -> None:
        super().__init__()
        self.branch1, self.branch2 = nn.Conv2d(8, 2, 1), nn.Conv2d(8, 2, (1, 7), padding=(0, 3))
        self.branch3, self.branch4 = nn.MaxPool2d(3, 1, 1, ceil_mode=True), nn.Conv2d(8, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        pooled = F.avg_pool2d(x, kernel_size=3, stride=1, padding=1)
        small = [F.relu(self.branch1(x)), F.relu(self.branch2(x), inplace=True)]
        return torch.cat([*small, self.branch4(self.branch3(x)), self.branch4(pooled)], 1)


BLOCKS = [ShuffleUnit, Fire, InvertedResidual, DenseBlock, InceptionBlock]


@pytest.mark.parametrize("block", BLOCKS)
def test_blocks(block: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    head = nn.Sequential(nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten(1), nn.Dropout(), nn.Linear(8, 3))
    model = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(inplace=True), block(), head)
    assert_becomes_integers(model, torch.rand(4, 3, 12, 12))


@pytest.mark.slow
@pytest.mark.skipif(TORCHVISION is None, reason="torchvision is not installed")
@pytest.mark.parametrize("name", CLASSES)
def test_classes_of_torchvision(name: str, tmp_path: Path) -> None:
    """Quantized, written as ONNX and compared with ONNX Runtime, and once more without filters."""
    torch.manual_seed(0)
    settings = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
    model: nn.Module = getattr(TORCHVISION, name)(num_classes=10, **settings).eval()
    images = torch.rand(4, 3, 64, 64)
    network = assert_becomes_integers(model, images)
    export_onnx(network, tmp_path / "model.onnx", Format.QDQ)
    import_onnx(tmp_path / "model.onnx")  # compares each layer with ONNX Runtime
    groups = find_channel_groups(model, images)
    filters = select_filters(
        groups, score_filters(model, groups, FilterScore.L1), FilterBudget(keep=0.6)
    )
    small = remove_filters(model, filters, images)
    assert sum(p.numel() for p in small.parameters()) < sum(p.numel() for p in model.parameters())
    assert_becomes_integers(small, images)
