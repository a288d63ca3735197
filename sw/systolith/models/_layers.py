"""Building blocks that several example networks share."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

__all__ = ["identity_shortcut", "seeded"]


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw initial weights from a seed, and leave the caller's random state as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def identity_shortcut(inputs: int, filters: int, stride: int) -> nn.Conv2d:
    """Shortcut without parameters, written as a fixed 1x1 convolution.

    Takes every `stride`-th row and column, and puts the channels in the middle of more channels,
    which are zero: option A of He et al. As a convolution, it can be quantized, pruned and built in
    hardware like any other; its weights are 0 and 1 and are not trained.
    """
    conv = nn.Conv2d(inputs, filters, 1, stride=stride, bias=False)
    first = (filters - inputs) // 2
    with torch.no_grad():
        conv.weight.zero_()
        conv.weight[first + torch.arange(inputs), torch.arange(inputs)] = 1.0
    conv.weight.requires_grad_(False)
    return conv
