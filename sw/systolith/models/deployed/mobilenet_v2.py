"""MobileNetV2 at 0.35 of its width: thin ends, wide depthwise convolutions, linear additions."""

from torch import Tensor, nn

from systolith.models._blocks import seeded

__all__ = ["MobileNetV2"]

STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""Expansion, filters at full width, blocks, and stride of the first block."""
LAST = 1280
"""Filters of the last convolution; fewer widths do not make it narrower."""


class MobileNetV2(nn.Module):
    """A strided 3x3 convolution and 17 inverted residuals; 4.7 M MACs on 64x64 images.

    408,938 trained parameters.

    Parameters
    ----------
    classes : int
        Number of logits.
    width : float
        Factor of all filters but those of the last convolution.
    seed : int
        Seed of the initial weights.

    Notes
    -----
    Sandler et al.: MobileNetV2 (CVPR 2018), table 2. Widths are rounded to multiples of 8 as
    torchvision does.
    """

    def __init__(self, classes: int = 10, width: float = 0.35, seed: int = 0) -> None:
        super().__init__()
        first = _round(32 * width)
        with seeded(seed):
            blocks: list[nn.Module] = [*_convolution(3, first, 3, stride=2)]
            inputs = first
            for expansion, full, count, stride in STAGES:
                filters = _round(full * width)
                for number in range(count):
                    step = stride if number == 0 else 1
                    blocks.append(_InvertedResidual(inputs, filters, step, expansion))
                    inputs = filters
            last = max(LAST, _round(LAST * width))
            self.features = nn.Sequential(*blocks, *_convolution(inputs, last, 1))
            self.pool = nn.AdaptiveAvgPool2d(1)
            self.flatten = nn.Flatten()
            self.dropout = nn.Dropout(0.2)
            self.classifier = nn.Linear(last, classes)
            for module in self.modules():
                if isinstance(module, nn.Conv2d):
                    nn.init.kaiming_normal_(module.weight, mode="fan_out")

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, shape (N, classes), of images, shape (N, 3, H, W)."""
        x = self.dropout(self.flatten(self.pool(self.features(images))))
        logits: Tensor = self.classifier(x)
        return logits


class _InvertedResidual(nn.Module):
    def __init__(self, inputs: int, filters: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.residual = stride == 1 and inputs == filters
        expand = _convolution(inputs, hidden, 1) if expansion > 1 else ()
        self.layers = nn.Sequential(
            *expand,
            *_convolution(hidden, hidden, 3, stride=stride, groups=hidden),
            nn.Conv2d(hidden, filters, 1, bias=False),
            nn.BatchNorm2d(filters),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return x + y if self.residual else y


def _convolution(
    inputs: int, filters: int, size: int, stride: int = 1, groups: int = 1
) -> tuple[nn.Module, ...]:
    padding = size // 2
    conv = nn.Conv2d(inputs, filters, size, stride, padding, groups=groups, bias=False)
    return conv, nn.BatchNorm2d(filters), nn.ReLU6()


def _round(filters: float) -> int:
    """Round to a multiple of 8, at least 8, and to no less than 90 %."""
    rounded = max(8, int(filters + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * filters else rounded
