"""A detector with two heads, as YOLOv3-tiny has them."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from systolith.models._blocks import seeded

__all__ = ["TinyYOLO"]


class TinyYOLO(nn.Module):
    """Two heads, of an eighth and of a quarter of the image; 8.4 M MACs on 64x64 images.

    Parameters
    ----------
    classes : int
        Number of classes. A head has ``3 * (5 + classes)`` channels: for each of three anchors,
        four numbers of the box, the objectness and the classes.
    width : int
        Filters of the first convolution.
    seed : int
        Seed of the initial weights.

    Notes
    -----
    Redmon, Farhadi: YOLOv3 (2018), in the form of its configuration ``yolov3-tiny``: convolutions
    with batch norm and LeakyReLU (0.1) between max pools; the coarse features are squeezed,
    enlarged and joined with finer ones for the second head. The host computes the sigmoids and the
    boxes.

    **Deviation:** three pools in place of five, and 8 to 64 filters in place of 16 to 1,024.
    """

    def __init__(self, classes: int = 3, width: int = 8, seed: int = 0) -> None:
        super().__init__()
        head = 3 * (5 + classes)
        with seeded(seed):
            self.conv1 = _convolution(3, width, 3)
            self.conv2 = _convolution(width, 2 * width, 3)
            self.conv3 = _convolution(2 * width, 4 * width, 3)
            self.conv4 = _convolution(4 * width, 8 * width, 3)
            self.coarse = _convolution(8 * width, 4 * width, 1)
            self.coarse_head = nn.Conv2d(4 * width, head, 1)
            self.squeeze = _convolution(4 * width, 2 * width, 1)
            self.fine = _convolution(6 * width, 4 * width, 3)
            self.fine_head = nn.Conv2d(4 * width, head, 1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return both heads of images, (N, 3, H, W): (N, F, H/8, W/8) and (N, F, H/4, W/4)."""
        x = F.max_pool2d(self.conv1(images), 2)
        x = F.max_pool2d(self.conv2(x), 2)
        finer = self.conv3(x)
        x = self.coarse(self.conv4(F.max_pool2d(finer, 2)))
        enlarged = F.interpolate(self.squeeze(x), scale_factor=2)
        fine = self.fine(torch.cat([enlarged, finer], 1))
        return self.coarse_head(x), self.fine_head(fine)


def _convolution(inputs: int, filters: int, size: int) -> nn.Sequential:
    conv = nn.Conv2d(inputs, filters, size, padding=size // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(filters), nn.LeakyReLU(0.1))
