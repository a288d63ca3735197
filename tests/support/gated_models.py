"""Models whose activations are multiplied: squeeze-and-excitation, attention."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Gated", "SqueezeExcite", "TwoGates"]

Function = Callable[[Tensor], Tensor]


class SqueezeExcite(nn.Module):
    """A gate for each channel, computed from the means of all channels."""

    def __init__(self, channels: int, hidden: int, gate: Function) -> None:
        super().__init__()
        self.reduce, self.expand = nn.Conv2d(channels, hidden, 1), nn.Conv2d(hidden, channels, 1)
        self.gate = gate

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W)."""
        means = x.mean((2, 3), keepdim=True)
        return x * self.gate(self.expand(torch.relu(self.reduce(means))))


class TwoGates(nn.Module):
    """Two blocks with gates, as MobileNetV3 and EfficientNet have them."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 4, 3, padding=1)
        self.first_gate = SqueezeExcite(4, 2, functional.hardsigmoid)
        self.second = nn.Conv2d(4, 4, 3, stride=2)
        self.second_gate = SqueezeExcite(4, 2, torch.sigmoid)
        self.last = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 2, H, W) to (N, 3)."""
        x = self.first_gate(functional.hardswish(self.first(x)))
        x = self.second_gate(functional.silu(self.second(x)))
        return self.last(x.mean((2, 3)))  # type: ignore[no-any-return]


class Gated(nn.Module):
    """A convolution of two channels, multiplied by what `gate` makes of another one."""

    def __init__(self, gate: Function, multiply: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(2, 3, 3), nn.Conv2d(2, 3, 3)
        self.gate, self.multiply = gate, multiply
        self.last = nn.Conv2d(3, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 2, H, W)."""
        return self.last(self.multiply(self.a(x), self.gate(self.b(x))))  # type: ignore[no-any-return]
