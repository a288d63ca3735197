"""A tiny residual network with every kind of layer that a plain chain lacks."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["TinyResNet"]


class TinyResNet(nn.Module):
    """One residual block, a depthwise-separable stage with ReLU6, average and global pooling.

    Parameters
    ----------
    channels : int
        Channels of the input images.
    classes : int
        Number of logits.
    width : int
        Filters of each convolution; a multiple of 8.
    seed : int
        Seed of the initial weights.
    """

    def __init__(
        self, channels: int = 1, classes: int = 10, width: int = 16, seed: int = 0
    ) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.stem = _conv_bn(channels, width)
            self.conv1 = _conv_bn(width, width)
            self.conv2 = _conv_bn(width, width)
            self.pool = nn.AvgPool2d(2)
            self.depthwise = _conv_bn(width, width, groups=width)
            self.pointwise = _conv_bn(width, width, kernel_size=1)
            self.dropout = nn.Dropout(0.1)
            self.fc = nn.Linear(width, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, shape (N, classes), of images, shape (N, channels, H, W)."""
        x = F.relu(self.stem(images))
        x = F.relu(x + self.conv2(F.relu(self.conv1(x))))
        x = self.pool(x)
        x = F.relu6(self.depthwise(x))
        x = F.relu6(self.pointwise(x))
        x = torch.flatten(F.adaptive_avg_pool2d(x, 1), 1)
        logits: Tensor = self.fc(self.dropout(x))
        return logits


def _conv_bn(inputs: int, filters: int, kernel_size: int = 3, groups: int = 1) -> nn.Sequential:
    padding = kernel_size // 2
    return nn.Sequential(
        nn.Conv2d(inputs, filters, kernel_size, padding=padding, groups=groups, bias=False),
        nn.BatchNorm2d(filters),
    )
