"""Building blocks that several example networks share."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

__all__ = ["EPSILON", "SeparableConv", "identity_shortcut", "seeded"]

EPSILON = 1e-3
"""Epsilon of batch norms in the networks of MLPerf Tiny, the default of Keras."""


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw initial weights from a seed without a change to the caller's random state."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def identity_shortcut(inputs: int, filters: int, stride: int) -> nn.Conv2d:
    """Make a parameter-free shortcut, as a fixed 1x1 convolution.

    The shortcut reads every `stride`-th row and column and pads the channels with zeros on both
    sides: option A of He et al. As a convolution it can be quantized, pruned and built in hardware
    like any other. Its weights are 0 and 1 and are not trained.
    """
    conv = nn.Conv2d(inputs, filters, 1, stride=stride, bias=False)
    first = (filters - inputs) // 2
    with torch.no_grad():
        conv.weight.zero_()
        conv.weight[first + torch.arange(inputs), torch.arange(inputs)] = 1.0
    conv.weight.requires_grad_(False)
    return conv


class SeparableConv(nn.Module):
    """A 3x3 depthwise convolution, then a 1x1 one; bias, batch norm and ReLU after each.

    Parameters
    ----------
    inputs, filters : int
        Channels before and after.
    stride : int
        1, with one pixel of padding on all sides; or 2, with padding at the bottom and right only,
        which is TensorFlow's "same" for images of even height and width.
    """

    def __init__(self, inputs: int, filters: int, stride: int = 1) -> None:
        super().__init__()
        strided = stride > 1
        self.pad = nn.ZeroPad2d((0, 1, 0, 1)) if strided else nn.Identity()
        self.depthwise = nn.Conv2d(
            inputs, inputs, 3, stride=stride, padding=0 if strided else 1, groups=inputs
        )
        self.bn1 = nn.BatchNorm2d(inputs, eps=EPSILON)
        self.relu1 = nn.ReLU()
        self.pointwise = nn.Conv2d(inputs, filters, 1)
        self.bn2 = nn.BatchNorm2d(filters, eps=EPSILON)
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Return activations, (N, filters, H / stride, W / stride), of x, (N, inputs, H, W).

        H and W are multiples of the stride.
        """
        x = self.relu1(self.bn1(self.depthwise(self.pad(x))))
        out: Tensor = self.relu2(self.bn2(self.pointwise(x)))
        return out
