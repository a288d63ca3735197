"""What one node of a traced model does, in the terms of hardware."""

from dataclasses import dataclass

from torch import nn

from systolith.network import Padding
from systolith.quant.requantizing import Activation

__all__ = [
    "Activate",
    "AddUp",
    "AveragePool",
    "Convolve",
    "Flatten",
    "MaxPool",
    "Multiply",
    "Normalize",
    "Operation",
    "Pad",
    "Pass",
]


@dataclass(frozen=True, slots=True)
class Convolve:
    """A convolution, with explicit padding."""

    module: nn.Conv2d
    padding: Padding


@dataclass(frozen=True, slots=True)
class Multiply:
    """A linear layer."""

    module: nn.Linear


@dataclass(frozen=True, slots=True)
class Normalize:
    """A batch norm, to be folded."""

    module: nn.BatchNorm2d


@dataclass(frozen=True, slots=True)
class Activate:
    """A nonlinearity, to be fused."""

    activation: Activation


@dataclass(frozen=True, slots=True)
class MaxPool:
    """A max pool."""

    kernel_size: tuple[int, int]
    stride: tuple[int, int]
    padding: Padding


@dataclass(frozen=True, slots=True)
class AveragePool:
    """An average pool; `kernel_size` None is global."""

    kernel_size: tuple[int, int] | None
    stride: tuple[int, int]
    padding: Padding


@dataclass(frozen=True, slots=True)
class Flatten:
    """Images as vectors."""


@dataclass(frozen=True, slots=True)
class AddUp:
    """Residual addition."""


@dataclass(frozen=True, slots=True)
class Pad:
    """Rows and columns of zeros, to be folded into the convolution or pool behind."""

    padding: Padding


@dataclass(frozen=True, slots=True)
class Pass:
    """Nothing in evaluation: identity, dropout."""


Operation = (
    Convolve
    | Multiply
    | Normalize
    | Activate
    | MaxPool
    | AveragePool
    | Flatten
    | AddUp
    | Pad
    | Pass
)
