"""ResNet-8, the image classification network of MLPerf Tiny."""

from torch import Tensor, nn

from systolith.models._blocks import EPSILON, seeded

__all__ = ["ResNet8"]


class ResNet8(nn.Module):
    """Three residual blocks with 16, 32, 64 filters for 32x32 images; 12.5 M MACs.

    77,360 weights of convolutions and the linear layer, 78,186 trained parameters in all.

    Parameters
    ----------
    classes : int
        Number of logits.
    seed : int
        Seed of the initial weights.

    Notes
    -----
    Banbury et al.: MLPerf Tiny benchmark (NeurIPS datasets and benchmarks 2021), image
    classification. Every convolution has a bias, those of the two 1x1 shortcuts have no batch norm,
    and strided convolutions pad at the bottom and right only, as TensorFlow does.
    """

    def __init__(self, classes: int = 10, seed: int = 0) -> None:
        super().__init__()
        with seeded(seed):
            self.conv1 = nn.Conv2d(3, 16, 3, padding=1)
            self.bn1 = nn.BatchNorm2d(16, eps=EPSILON)
            self.relu1 = nn.ReLU()
            self.layer1 = _Block(16, 16, 1)
            self.layer2 = _Block(16, 32, 2)
            self.layer3 = _Block(32, 64, 2)
            self.pool = nn.AdaptiveAvgPool2d(1)
            self.flatten = nn.Flatten()
            self.fc = nn.Linear(64, classes)
            for module in self.modules():
                if isinstance(module, nn.Conv2d | nn.Linear):
                    nn.init.kaiming_normal_(module.weight)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, shape (N, classes), of images, shape (N, 3, H, W)."""
        x = self.relu1(self.bn1(self.conv1(images)))
        x = self.layer3(self.layer2(self.layer1(x)))
        logits: Tensor = self.fc(self.flatten(self.pool(x)))
        return logits


class _Block(nn.Module):
    def __init__(self, inputs: int, filters: int, stride: int) -> None:
        super().__init__()
        strided = stride > 1
        self.pad = nn.ZeroPad2d((0, 1, 0, 1)) if strided else nn.Identity()
        self.conv1 = nn.Conv2d(inputs, filters, 3, stride=stride, padding=0 if strided else 1)
        self.bn1 = nn.BatchNorm2d(filters, eps=EPSILON)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(filters, filters, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(filters, eps=EPSILON)
        self.relu2 = nn.ReLU()
        self.shortcut = nn.Conv2d(inputs, filters, 1, stride=stride) if strided else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(self.pad(x))))))
        out: Tensor = self.relu2(y + self.shortcut(x))
        return out
