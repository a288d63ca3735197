"""Layers of all kinds with the patterns that they can have, and correlated inputs."""

import torch
from torch import Tensor, nn

from systolith.network import Granularity, KOutOfN, Pattern, PerNeuron, Strided

SHAPE = 4, 8, 8
"""Channels, height and width of the images."""
TWO_OF_FOUR = Pattern(select=KOutOfN(2, 4))

torch.manual_seed(0)  # of the layers below, drawn while tests are collected

CASES: dict[str, tuple[nn.Module, Pattern]] = {
    "conv": (nn.Conv2d(4, 6, 3, padding=1), TWO_OF_FOUR),
    "stride": (nn.Conv2d(4, 6, 3, stride=2, bias=False), Pattern(select=KOutOfN(1, 4))),
    "shared": (nn.Conv2d(4, 6, 3), Pattern(select=KOutOfN(1, 2, shared_by=3))),
    "kernels": (nn.Conv2d(4, 6, 3), Pattern(select=KOutOfN(2, 4, Granularity.KERNEL))),
    "kernels-shared": (
        nn.Conv2d(4, 6, (1, 3)),
        Pattern(select=KOutOfN(1, 2, Granularity.KERNEL, shared_by=2)),
    ),
    "neuron": (nn.Conv2d(4, 6, 3, padding="same"), Pattern(select=PerNeuron(7))),
    "taps": (nn.Conv2d(4, 6, 3), Pattern(taps=Strided(2, (0, 1, 0, 1)))),
    "taps-weights": (
        nn.Conv2d(4, 6, 3),
        Pattern(select=KOutOfN(1, 2), taps=Strided(3, (2, 2, 0, 0))),
    ),
    "taps-kernels": (
        nn.Conv2d(4, 6, 3),
        Pattern(select=KOutOfN(1, 2, Granularity.KERNEL), taps=Strided(2, (1, 1, 0, 0))),
    ),
    "taps-neuron": (
        nn.Conv2d(4, 6, 3),
        Pattern(select=PerNeuron(5, shared_by=2), taps=Strided(2, (0, 1, 1, 0))),
    ),
    "grouped": (nn.Conv2d(4, 6, 3, groups=2), Pattern(select=KOutOfN(1, 2))),
    "grouped-across": (nn.Conv2d(4, 6, 3, groups=2), Pattern(select=KOutOfN(1, 2, shared_by=2))),
    "depthwise": (nn.Conv2d(4, 8, 3, groups=4, padding=1), Pattern(select=PerNeuron(4))),
    "dilated": (nn.Conv2d(4, 6, 3, dilation=2, padding=2), TWO_OF_FOUR),
    "reflected": (
        nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect"),
        Pattern(select=KOutOfN(3, 4)),
    ),
    "even": (nn.Conv2d(4, 6, (2, 4), padding="same"), TWO_OF_FOUR),
    "linear": (nn.Linear(8, 6), Pattern(select=KOutOfN(2, 8, shared_by=2))),
}
"""Layer and pattern by name; a linear layer reads the last axis."""


def images(count: int = 24, seed: int = 0) -> Tensor:
    """Draw images whose channels and neighbouring pixels are correlated."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(count, *SHAPE, generator=generator)
    return drawn + 0.7 * drawn.roll(1, 1) + 0.5 * drawn.roll(1, 3) + 0.3
