"""The two axes of a sparsity pattern: selection of input channels, and of kernel positions."""

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from systolith.network._fields import Fields

__all__ = [
    "AllTaps",
    "BoolArray",
    "Dense",
    "Granularity",
    "KOutOfN",
    "PerNeuron",
    "Select",
    "Strided",
    "Taps",
    "WeightShape",
]

BoolArray = NDArray[np.bool_]
WeightShape = tuple[int, int, int, int]
"""``(F, C, Kh, Kw)``: filters, input channels of a filter, kernel height and width."""


class Granularity(Enum):
    """The unit of a selection in a k-out-of-n group."""

    WEIGHT = "weight"
    """A weight: each tap has its own selection."""
    KERNEL = "kernel"
    """A kernel: all taps share a selection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dense:
    """Every input channel is read."""

    def __str__(self) -> str:
        return "dense"


@dataclass(frozen=True, slots=True)
class KOutOfN:
    """Exactly `k` weights or kernels kept in every group of `n` consecutive input channels.

    Parameters
    ----------
    k, n : int
        ``1 <= k <= n``; n divides the layer's input channels.
    granularity : Granularity
        WEIGHT selects at each tap (like N:M sparsity); KERNEL keeps whole kernels (n = C is
        "k kernels per feature map").
    shared_by : int
        Number of neighbouring filters that share a selection; divides the layer's filters.

    Raises
    ------
    NetworkError
        If a number is out of range or not an integer.

    Examples
    --------
    >>> print(KOutOfN(2, 4, granularity=Granularity.KERNEL, shared_by=2))
    2-out-of-4 kernels shared by 2
    """

    k: int
    n: int
    granularity: Granularity = Granularity.WEIGHT
    shared_by: int = 1

    def __post_init__(self) -> None:
        fields = Fields(self)
        if all([fields.integer("k"), fields.integer("n")]) and not 1 <= self.k <= self.n:
            fields.problems.append(f"k-out-of-n needs 1 <= k <= n, got k={self.k}, n={self.n}")
        fields.instance("granularity", Granularity)
        _check_shared_by(fields, self)
        fields.finish()

    def __str__(self) -> str:
        kernel = " kernels" if self.granularity is Granularity.KERNEL else ""
        return f"{self.k}-out-of-{self.n}{kernel}{_shared(self)}"


@dataclass(frozen=True, slots=True)
class PerNeuron:
    """Exactly `k` weights kept anywhere in the reduction of each filter.

    The per-neuron form of Dynamic Probabilistic Pruning (Gonzalez-Carabarin et al., 2022): n is the
    whole reduction ``C * Kh * Kw`` without the taps that :class:`Strided` drops.

    Parameters
    ----------
    k : int
        At least 1 and at most the reduction.
    shared_by : int
        Number of neighbouring filters that share a selection; divides the layer's filters.

    Raises
    ------
    NetworkError
        If a number is out of range or not an integer.
    """

    k: int
    shared_by: int = 1

    def __post_init__(self) -> None:
        fields = Fields(self)
        if fields.integer("k") and self.k < 1:
            fields.problems.append(f"per-neuron k must be at least 1, got {self.k}")
        _check_shared_by(fields, self)
        fields.finish()

    def __str__(self) -> str:
        return f"{self.k} per neuron{_shared(self)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AllTaps:
    """Every kernel position is read."""

    def __str__(self) -> str:
        return "all taps"


@dataclass(frozen=True, slots=True)
class Strided:
    """Intra-kernel strided sparsity: channel c is read at taps p where p = offset[c] modulo stride.

    Anwar, Hwang, Sung (2017): p counts kernel positions in raster order, and all filters that read
    an input map share its offset, so the dropped rows of the lowered input vanish.

    Parameters
    ----------
    stride : int
        At least 1 and at most the number of taps of the kernel.
    offsets : tuple of int
        One for each input channel (axis 1 of the weights), in ``0..stride-1``.

    Raises
    ------
    NetworkError
        If a number is out of range or not an integer.
    """

    stride: int
    offsets: tuple[int, ...]

    def __post_init__(self) -> None:
        fields = Fields(self)
        ranged = fields.integer("stride") and self.stride >= 1
        if not ranged and not fields.problems:
            fields.problems.append(f"tap stride must be at least 1, got {self.stride}")
        if fields.integers("offsets") and ranged:
            bad = [offset for offset in self.offsets if not 0 <= offset < self.stride]
            if bad:
                fields.problems.append(
                    f"tap offsets must lie in 0..{self.stride - 1}, got {bad[0]}"
                )
        fields.finish()

    def __str__(self) -> str:
        return f"every {self.stride}. tap"


Select = Dense | KOutOfN | PerNeuron
Taps = AllTaps | Strided


def _check_shared_by(fields: Fields, select: KOutOfN | PerNeuron) -> None:
    if fields.integer("shared_by") and select.shared_by < 1:
        fields.problems.append(f"shared_by must be at least 1, got {select.shared_by}")


def _shared(select: KOutOfN | PerNeuron) -> str:
    return f" shared by {select.shared_by}" if select.shared_by > 1 else ""
