"""MobileNetV1 at a quarter of its width, the visual wake words network of MLPerf Tiny."""

from itertools import pairwise

from torch import Tensor, nn

from systolith.models._blocks import EPSILON, SeparableConv, seeded

__all__ = ["MobileNetV1"]

STAGES = ((2, 1), (4, 2), (4, 1), (8, 2), (8, 1), (16, 2), *((16, 1),) * 5, (32, 2), (32, 1))
"""Filters, in multiples of the width, and stride of each depthwise-separable convolution."""


class MobileNetV1(nn.Module):
    """A strided 3x3 convolution and 13 depthwise-separable ones; 7.49 M MACs on 96x96 images.

    216,322 trained parameters; with the 5,472 running statistics of batch norms, 221,794.

    Parameters
    ----------
    classes : int
        Number of logits: a person is in the image, or not.
    width : int
        Filters of the first convolution; 32 in the original network.
    seed : int
        Seed of the initial weights.

    Notes
    -----
    Howard et al.: MobileNets (2017), in the form of Banbury et al.: MLPerf Tiny benchmark (NeurIPS
    datasets and benchmarks 2021), visual wake words: ReLU rather than ReLU6, a bias in every
    convolution. Strided convolutions pad at the bottom and right only, as TensorFlow does for
    images of even size; images must be a multiple of 32 pixels high and wide.

    **Deviation:** the last pool is global; for 96x96 images it equals the reference's 3x3 pool.
    """

    def __init__(self, classes: int = 2, width: int = 8, seed: int = 0) -> None:
        super().__init__()
        filters = [width, *(multiple * width for multiple, _ in STAGES)]
        with seeded(seed):
            self.pad = nn.ZeroPad2d((0, 1, 0, 1))
            self.conv = nn.Conv2d(3, width, 3, stride=2)
            self.bn = nn.BatchNorm2d(width, eps=EPSILON)
            self.relu = nn.ReLU()
            self.blocks = nn.Sequential(
                *(
                    SeparableConv(before, after, stride)
                    for (before, after), (_, stride) in zip(pairwise(filters), STAGES, strict=True)
                )
            )
            self.pool = nn.AdaptiveAvgPool2d(1)
            self.flatten = nn.Flatten()
            self.fc = nn.Linear(filters[-1], classes)
            for module in self.modules():
                if isinstance(module, nn.Conv2d | nn.Linear):
                    nn.init.kaiming_normal_(module.weight)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, shape (N, classes), of images, shape (N, 3, H, W)."""
        x = self.blocks(self.relu(self.bn(self.conv(self.pad(images)))))
        logits: Tensor = self.fc(self.flatten(self.pool(x)))
        return logits
