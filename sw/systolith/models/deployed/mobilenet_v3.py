"""A small network of MobileNetV3's blocks: hard swish, and squeeze-and-excitation."""

from torch import Tensor, nn
from torch.nn import functional as F

from systolith.models._blocks import seeded

__all__ = ["SmallMobileNetV3"]

BLOCKS = (
    (3, 16, 16, True, False, 2),
    (3, 72, 24, False, False, 2),
    (5, 96, 40, True, True, 2),
    (5, 120, 40, True, True, 1),
)
"""Kernel, expanded channels, filters, whether excited, whether hard swish, and stride."""


class SmallMobileNetV3(nn.Module):
    """A strided convolution with hard swish and four blocks, three of them excited.

    Parameters
    ----------
    classes : int
        Number of logits.
    seed : int
        Seed of the initial weights.

    Notes
    -----
    Howard et al.: Searching for MobileNetV3 (ICCV 2019), the kinds of blocks of table 2. Hard swish
    and hard sigmoid are tables in hardware.

    **Deviation:** four blocks in place of eleven, for images of 64x64 pixels.
    """

    def __init__(self, classes: int = 10, seed: int = 0) -> None:
        super().__init__()
        with seeded(seed):
            self.stem = nn.Sequential(
                nn.Conv2d(3, 16, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(16)
            )
            blocks, inputs = [], 16
            for size, hidden, filters, excited, swish, stride in BLOCKS:
                blocks.append(_Block(inputs, hidden, filters, size, stride, excited, swish))
                inputs = filters
            self.blocks = nn.Sequential(*blocks)
            self.last = nn.Sequential(
                nn.Conv2d(inputs, 96, 1, bias=False), nn.BatchNorm2d(96), nn.Hardswish()
            )
            self.classifier = nn.Linear(96, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, shape (N, classes), of images, shape (N, 3, H, W)."""
        x = self.last(self.blocks(F.hardswish(self.stem(images))))
        logits: Tensor = self.classifier(x.mean((2, 3)))
        return logits


class _Block(nn.Module):
    def __init__(
        self,
        inputs: int,
        hidden: int,
        filters: int,
        size: int,
        stride: int,
        excited: bool,
        swish: bool,
    ) -> None:
        super().__init__()
        self.residual = stride == 1 and inputs == filters
        activation = nn.Hardswish if swish else nn.ReLU
        self.layers = nn.Sequential(
            nn.Conv2d(inputs, hidden, 1, bias=False),
            nn.BatchNorm2d(hidden),
            activation(),
            nn.Conv2d(hidden, hidden, size, stride, size // 2, groups=hidden, bias=False),
            nn.BatchNorm2d(hidden),
            activation(),
            _Excitation(hidden) if excited else nn.Identity(),
            nn.Conv2d(hidden, filters, 1, bias=False),
            nn.BatchNorm2d(filters),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return x + y if self.residual else y


class _Excitation(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        squeezed = max(8, channels // 4)
        self.squeeze = nn.Conv2d(channels, squeezed, 1)
        self.excite = nn.Conv2d(squeezed, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        scale = F.adaptive_avg_pool2d(x, 1)
        scale = F.hardsigmoid(self.excite(F.relu(self.squeeze(scale))))
        return x * scale
