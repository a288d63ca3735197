"""A small U-Net: what the encoder saw meets what the decoder enlarged."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from systolith.models._blocks import seeded

__all__ = ["SmallUNet"]


class SmallUNet(nn.Module):
    """Two levels above a bottleneck, with 8, 16 and 32 filters; 8.5 M MACs on 32x32 images.

    32,858 trained parameters.

    Parameters
    ----------
    classes : int
        Number of logits of each pixel.
    width : int
        Filters of the first level.
    seed : int
        Seed of the initial weights.

    Notes
    -----
    Ronneberger, Fischer, Brox: U-Net (MICCAI 2015).

    **Deviation:** two levels in place of four, padded convolutions with batch norm, and nearest
    neighbours followed by a 3x3 convolution in place of a transposed convolution.
    """

    def __init__(self, classes: int = 2, width: int = 8, seed: int = 0) -> None:
        super().__init__()
        with seeded(seed):
            self.down1 = _level(3, width)
            self.down2 = _level(width, 2 * width)
            self.bottom = _level(2 * width, 4 * width)
            self.enlarge2 = _convolution(4 * width, 2 * width)
            self.up2 = _level(4 * width, 2 * width)
            self.enlarge1 = _convolution(2 * width, width)
            self.up1 = _level(2 * width, width)
            self.classify = nn.Conv2d(width, classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, (N, classes, H, W), of images, (N, 3, H, W); H and W multiples of 4."""
        fine = self.down1(images)
        coarse = self.down2(F.max_pool2d(fine, 2))
        x = self.bottom(F.max_pool2d(coarse, 2))
        x = self.enlarge2(F.interpolate(x, scale_factor=2))
        x = self.up2(torch.cat([coarse, x], 1))
        x = self.enlarge1(F.interpolate(x, scale_factor=2))
        x = self.up1(torch.cat([fine, x], 1))
        logits: Tensor = self.classify(x)
        return logits


def _convolution(inputs: int, filters: int) -> nn.Sequential:
    conv = nn.Conv2d(inputs, filters, 3, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(filters), nn.ReLU())


def _level(inputs: int, filters: int) -> nn.Sequential:
    return nn.Sequential(_convolution(inputs, filters), _convolution(filters, filters))
