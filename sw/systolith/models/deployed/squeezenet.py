"""SqueezeNet for small images: modules whose branches are joined."""

import torch
from torch import Tensor, nn

from systolith.models._blocks import seeded

__all__ = ["SmallSqueezeNet"]


class SmallSqueezeNet(nn.Module):
    """A 3x3 convolution, four fire modules and a convolution as classifier; 5.7 M MACs at 32x32.

    40,922 parameters.

    Parameters
    ----------
    classes : int
        Number of logits.
    seed : int
        Seed of the initial weights.

    Notes
    -----
    Iandola et al.: SqueezeNet (2016), section 3: half of a fire module's filters are 1x1, half are
    3x3, and both read what a 1x1 convolution has squeezed.

    **Deviation:** four fire modules in place of eight and a first convolution of 3x3, for images of
    32x32 pixels; max pools of 2x2.
    """

    def __init__(self, classes: int = 10, seed: int = 0) -> None:
        super().__init__()
        with seeded(seed):
            self.features = nn.Sequential(
                nn.Conv2d(3, 32, 3, padding=1),
                nn.ReLU(),
                nn.MaxPool2d(2),
                _Fire(32, 16, 32),
                _Fire(64, 16, 32),
                nn.MaxPool2d(2),
                _Fire(64, 24, 48),
                _Fire(96, 24, 48),
            )
            self.dropout = nn.Dropout()
            self.classifier = nn.Conv2d(96, classes, 1)
            self.pool = nn.AdaptiveAvgPool2d(1)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, shape (N, classes), of images, shape (N, 3, H, W)."""
        x = torch.relu(self.classifier(self.dropout(self.features(images))))
        return torch.flatten(self.pool(x), 1)


class _Fire(nn.Module):
    def __init__(self, inputs: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(inputs, squeezed, 1)
        self.expand1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand3 = nn.Conv2d(squeezed, expanded, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.squeeze(x))
        return torch.cat([torch.relu(self.expand1(x)), torch.relu(self.expand3(x))], 1)
