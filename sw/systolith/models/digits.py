"""A small chain of convolutions for 8x8 digits."""

import torch
from torch import Tensor, nn

__all__ = ["DigitsCNN"]


class DigitsCNN(nn.Module):
    """Three 3x3 convolutions (16, 32, 32 filters), two 2x2 max pools, one linear layer.

    Channel counts are multiples of 8, so k-out-of-8 patterns fit the linear layer and every
    convolution except the first, which reads the image.

    Parameters
    ----------
    seed : int
        Seed of the initial weights.
    """

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.conv1 = nn.Conv2d(1, 16, 3, padding=1, bias=False)
            self.bn1 = nn.BatchNorm2d(16)
            self.relu1 = nn.ReLU()
            self.conv2 = nn.Conv2d(16, 32, 3, padding=1, bias=False)
            self.bn2 = nn.BatchNorm2d(32)
            self.relu2 = nn.ReLU()
            self.pool2 = nn.MaxPool2d(2)
            self.conv3 = nn.Conv2d(32, 32, 3, padding=1, bias=False)
            self.bn3 = nn.BatchNorm2d(32)
            self.relu3 = nn.ReLU()
            self.pool3 = nn.MaxPool2d(2)
            self.flatten = nn.Flatten()
            self.fc = nn.Linear(128, 10)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, shape (N, 10), of images, shape (N, 1, 8, 8)."""
        x = self.relu1(self.bn1(self.conv1(images)))
        x = self.pool2(self.relu2(self.bn2(self.conv2(x))))
        x = self.pool3(self.relu3(self.bn3(self.conv3(x))))
        logits: Tensor = self.fc(self.flatten(x))
        return logits
