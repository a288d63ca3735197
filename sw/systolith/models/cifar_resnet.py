"""The residual networks of He et al. for CIFAR: ResNet-20, ResNet-56 and ResNet-110."""

from torch import Tensor, nn

from systolith.models._blocks import identity_shortcut, seeded

__all__ = ["CifarResNet", "resnet20", "resnet56", "resnet110"]


class CifarResNet(nn.Module):
    """Three stages of residual blocks with 16, 32, 64 filters; depth is ``6 * blocks + 2``.

    ResNet-20 has 269,722 trained parameters and 41 M MACs on 32x32 images, ResNet-56 has 853,018
    and 126 M, ResNet-110 has 1,727,962 and 253 M.

    Parameters
    ----------
    blocks : int
        Blocks per stage, of two 3x3 convolutions each: 3 for ResNet-20.
    classes : int
        Number of logits.
    seed : int
        Seed of the initial weights.

    Notes
    -----
    He, Zhang, Ren, Sun: Deep residual learning for image recognition (CVPR 2016), section 4.2, with
    parameter-free shortcuts (option A).

    **Deviation:** at the start of a stage, zero channels are added on both sides of the old ones,
    as in common PyTorch implementations, so that their trained weights fit. The shortcut is a fixed
    1x1 convolution, see :func:`identity_shortcut`.
    """

    def __init__(self, blocks: int, classes: int = 10, seed: int = 0) -> None:
        super().__init__()
        if blocks < 1:
            raise ValueError(f"a residual network needs at least 1 block per stage, got {blocks}")
        with seeded(seed):
            self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
            self.bn1 = nn.BatchNorm2d(16)
            self.relu1 = nn.ReLU()
            self.layer1 = _stage(16, 16, 1, blocks)
            self.layer2 = _stage(16, 32, 2, blocks)
            self.layer3 = _stage(32, 64, 2, blocks)
            self.pool = nn.AdaptiveAvgPool2d(1)
            self.flatten = nn.Flatten()
            self.linear = nn.Linear(64, classes)
            for module in self.modules():
                if isinstance(module, nn.Conv2d | nn.Linear) and module.weight.requires_grad:
                    nn.init.kaiming_normal_(module.weight)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, shape (N, classes), of images, shape (N, 3, H, W)."""
        x = self.relu1(self.bn1(self.conv1(images)))
        x = self.layer3(self.layer2(self.layer1(x)))
        logits: Tensor = self.linear(self.flatten(self.pool(x)))
        return logits


class _Block(nn.Module):
    def __init__(self, inputs: int, filters: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, filters, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(filters)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(filters, filters, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(filters)
        self.relu2 = nn.ReLU()
        same = stride == 1 and inputs == filters
        self.shortcut = nn.Identity() if same else identity_shortcut(inputs, filters, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
        out: Tensor = self.relu2(y + self.shortcut(x))
        return out


def _stage(inputs: int, filters: int, stride: int, blocks: int) -> nn.Sequential:
    rest = (_Block(filters, filters, 1) for _ in range(blocks - 1))
    return nn.Sequential(_Block(inputs, filters, stride), *rest)


def resnet20(seed: int = 0) -> CifarResNet:
    """Make a ResNet-20 for 10 classes."""
    return CifarResNet(3, seed=seed)


def resnet56(seed: int = 0) -> CifarResNet:
    """Make a ResNet-56 for 10 classes."""
    return CifarResNet(9, seed=seed)


def resnet110(seed: int = 0) -> CifarResNet:
    """Make a ResNet-110 for 10 classes."""
    return CifarResNet(18, seed=seed)
