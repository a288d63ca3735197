"""Small networks of all shapes in which channels are tied, with exact arithmetic.

Weights, biases and images are small integers, batch norms have a variance of 1 and an epsilon of 0,
and pools average over powers of two: every sum is a whole multiple of a power of two, far below
2^53, so float64 computes it exactly in whatever order, and outputs can be compared for equality.
"""

import operator
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from systolith.prune.filters import ChannelGroup

IMAGES = (3, 2, 8, 8)


def integers(model: nn.Module, seed: int = 0) -> nn.Module:
    """Fill a model with small integers."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.eps = 0.0
            module.running_mean.copy_(_draw(module.running_mean, generator))
        for parameter in module.parameters(recurse=False):
            with torch.no_grad():
                parameter.copy_(_draw(parameter, generator))
    return model.double().eval()


def images(seed: int = 0) -> Tensor:
    return _draw(torch.empty(IMAGES), torch.Generator().manual_seed(seed)).double()


def bare_group(name: str, size: int) -> ChannelGroup:
    """Make a group of units that no module has; budgets and scores need no more."""
    return ChannelGroup(
        name=name, size=size, producers=(), gated=(), consumers=(), outputs={}, inputs={}
    )


def _draw(like: Tensor, generator: torch.Generator) -> Tensor:
    magnitudes = torch.randint(1, 4, like.shape, generator=generator)
    signs = 2 * torch.randint(0, 2, like.shape, generator=generator) - 1
    return (magnitudes * signs).to(like)


def _conv(inputs: int, filters: int, **settings: int | bool) -> nn.Conv2d:
    return nn.Conv2d(inputs, filters, 3, padding=1, **settings)


def chain() -> nn.Module:
    return nn.Sequential(
        *(_conv(2, 5, bias=False), nn.BatchNorm2d(5), nn.ReLU(), nn.MaxPool2d(2)),
        *(_conv(5, 4), nn.ReLU6(), nn.AvgPool2d(2), nn.Dropout2d()),
        *(nn.Flatten(), nn.Linear(16, 6), nn.BatchNorm1d(6), nn.Hardtanh(-1, 4), nn.Linear(6, 3)),
    )


class Residual(nn.Module):
    """A block with identity, one with a 1x1 shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.stem_bn = _conv(2, 4, bias=False), nn.BatchNorm2d(4)
        self.a1, self.a1_bn = _conv(4, 3), nn.BatchNorm2d(3)
        self.a2, self.a2_bn = _conv(3, 4), nn.BatchNorm2d(4)
        self.b1, self.b1_bn = _conv(4, 5, stride=2), nn.BatchNorm2d(5)
        self.b2, self.b2_bn = _conv(5, 6), nn.BatchNorm2d(6)
        self.shortcut = nn.Conv2d(4, 6, 1, stride=2)
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.stem_bn(self.stem(x)))
        x = F.relu(x + self.a2_bn(self.a2(F.relu(self.a1_bn(self.a1(x))))))
        y = self.b2_bn(self.b2(F.relu(self.b1_bn(self.b1(x)))))
        y += self.shortcut(x)
        return self.head(F.relu(y).mean((2, 3)))


class PreActivation(nn.Module):
    """Batch norms behind additions: gates belong behind them, not behind the convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _conv(2, 4)
        self.bn1, self.conv1 = nn.BatchNorm2d(4), _conv(4, 4)
        self.bn2, self.conv2 = nn.BatchNorm2d(4), _conv(4, 4)
        self.bn3, self.head = nn.BatchNorm2d(4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = x + self.conv1(F.relu(self.bn1(x)))
        x = x + self.conv2(F.relu(self.bn2(x)))
        return self.head(F.adaptive_avg_pool2d(F.relu(self.bn3(x)), 1).flatten(1))


class Separable(nn.Module):
    """Depthwise convolutions, the second one with two filters per channel."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.stem_bn = _conv(2, 4), nn.BatchNorm2d(4)
        self.depth1, self.bn1 = _conv(4, 4, groups=4), nn.BatchNorm2d(4)
        self.point1 = nn.Conv2d(4, 5, 1)
        self.depth2, self.bn2 = _conv(5, 10, groups=5), nn.BatchNorm2d(10)
        self.point2 = nn.Conv2d(10, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem_bn(self.stem(x)))
        x = F.relu6(self.point1(F.relu(self.bn1(self.depth1(F.pad(x, (0, 1, 0, 1)))))))
        return self.point2(F.relu(self.bn2(self.depth2(x)))).mean((2, 3))


class Dense(nn.Module):
    """Concatenations, with a batch norm behind them, and one that an addition ties."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = _conv(2, 3), _conv(2, 4)
        self.bn, self.conv3 = nn.BatchNorm2d(7), _conv(7, 5)
        self.conv4, self.head = _conv(5, 7), nn.Linear(7 * 16, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([self.conv1(x), self.conv2(x)], dim=1)
        y = self.conv4(F.relu(self.conv3(F.relu(self.bn(x)))))
        y = F.max_pool2d(F.relu(x + y), 2)
        return self.head(y.view(y.size(0), -1))


class DenseBlocks(nn.Module):
    """Three layers that each read all outputs before, and a transition, as in DenseNet."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _conv(2, 4, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(4 + 3 * i) for i in range(3))
        self.convs = nn.ModuleList(_conv(4 + 3 * i, 3, bias=False) for i in range(3))
        self.transition_norm = nn.BatchNorm2d(13)
        self.transition = nn.Conv2d(13, 6, 1, bias=False)
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        features = [self.stem(x)]
        for norm, conv in zip(self.norms, self.convs, strict=True):
            features.append(conv(F.relu(norm(torch.cat(features, 1)))))
        x = self.transition(F.relu(self.transition_norm(torch.cat(features, 1))))
        return self.head(F.avg_pool2d(x, 2).mean((2, 3)))


class Grouped(nn.Module):
    """Bottlenecks with grouped convolutions, as in ResNeXt; the second has groups of one filter."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.reduce = _conv(2, 6), nn.Conv2d(6, 8, 1, bias=False)
        self.reduce_bn, self.grouped = nn.BatchNorm2d(8), _conv(8, 8, groups=2, bias=False)
        self.grouped_bn, self.expand = nn.BatchNorm2d(8), nn.Conv2d(8, 6, 1)
        self.single, self.head = _conv(6, 3, groups=3), nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        y = F.relu(self.reduce_bn(self.reduce(x)))
        x = F.relu(x + self.expand(F.relu(self.grouped_bn(self.grouped(y)))))
        return self.head(self.single(x).mean((2, 3)))


class OptionA(nn.Module):
    """A shortcut that pads channels with zeros: those of its ends cannot leave."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.conv1, self.conv2 = _conv(2, 4), _conv(4, 5, stride=2), _conv(5, 7)
        self.head = nn.Linear(7, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        y = self.conv2(F.relu(self.conv1(x)))
        x = F.relu(y + F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 1, 2)))
        return self.head(x.mean([2, 3]))


class Shared(nn.Module):
    """A convolution that is called twice, so what it reads and makes is tied."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.conv, self.head = _conv(2, 4), _conv(4, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv(F.relu(self.conv(F.relu(self.stem(x))))))
        return self.head(2 * torch.flatten(x.mean((-1, -2)) / 4, 1))


class Written(nn.Module):
    """Branches and loops on shapes, functions, statements in place: torch.fx cannot trace it."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = _conv(2, 4, bias=False), nn.BatchNorm2d(4)
        self.blocks = nn.ModuleList(_conv(4, 4) for _ in range(3))
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor, scale: Tensor | None = None) -> Tensor:
        if x.ndim != 4 or len(x) < 1:
            raise ValueError("images must have shape (N, C, H, W)")
        x = F.relu(self.norm(self.stem(x)))
        for block in self.blocks[: x.size(3) // 4]:  # the first two
            y = torch.add(block(x), x)
            y.clamp_(min=0)
            x = y if scale is None else y * scale
        x = F.avg_pool2d(x, x.shape[2:])
        return self.head(x.reshape(len(x), -1))


class Shuffled(nn.Module):
    """Two units of ShuffleNetV2, a pixel shuffle and splits in all spellings."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _conv(2, 8)
        self.branch1, self.branch2 = _conv(4, 4), nn.Conv2d(4, 4, 1)
        self.depth, self.norm = _conv(4, 4, groups=4), nn.BatchNorm2d(4)
        self.up, self.head = nn.Conv2d(8, 12, 1), nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        one, other = x.chunk(2, dim=1)
        x = self._shuffle(torch.cat((one, F.relu(self.branch1(other))), dim=1), 2)
        one, other = x.split(x.shape[1] // 2, 1)
        other = self.branch2(F.relu(self.norm(self.depth(other))))
        x = F.channel_shuffle(torch.cat((one, other), 1), 2)
        return self.head(F.relu(F.pixel_shuffle(self.up(x), 2)).sum((2, 3)))

    def _shuffle(self, x: Tensor, groups: int) -> Tensor:
        images, channels, height, width = x.size()
        x = x.view(images, groups, channels // groups, height, width)
        return torch.transpose(x, 1, 2).contiguous().view(images, channels, height, width)


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "chain": chain,
    "residual": Residual,
    "pre-activation": PreActivation,
    "separable": Separable,
    "dense": Dense,
    "dense-blocks": DenseBlocks,
    "grouped": Grouped,
    "option-a": OptionA,
    "shared": Shared,
    "written": Written,
    "shuffled": Shuffled,
}


class Between(nn.Module):
    """Two convolutions with an operation between."""

    def __init__(self, operation: Callable[[Tensor], Tensor], inputs: int = 4) -> None:
        super().__init__()
        self.operation = operation
        self.conv1, self.conv2 = _conv(2, 4), _conv(inputs, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(self.operation(self.conv1(x))).sum((2, 3))


def in_place_then_read(x: Tensor) -> Tensor:
    y = F.relu(x)
    y.add_(x)
    return operator.add(y, x)
