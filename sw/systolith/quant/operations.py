"""What one node of a recorded model does, in the terms of hardware."""

from dataclasses import dataclass

from torch import Tensor, nn

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
    "Reshape",
    "Scale",
    "Softmax",
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

    module: nn.BatchNorm2d | nn.BatchNorm1d


@dataclass(frozen=True, slots=True)
class Scale:
    """``x * factor + shift`` with constants, to be folded into the layer behind.

    `factor` and `shift` have the shape of one image's tensor; `reason` is why it is refused where
    no layer takes it.
    """

    factor: Tensor
    shift: Tensor
    reason: str


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
class Reshape:
    """Another shape for the same values in the same order.

    It becomes a :class:`Flatten` or nothing; `reason` is why it is refused where it is neither.
    """

    reason: str


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


@dataclass(frozen=True, slots=True)
class Softmax:
    """Probabilities of logits, to be left out at the very end."""


Operation = (
    Convolve
    | Multiply
    | Normalize
    | Scale
    | Activate
    | MaxPool
    | AveragePool
    | Reshape
    | Flatten
    | AddUp
    | Pad
    | Pass
    | Softmax
)
