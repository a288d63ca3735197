"""Sparsity patterns: which weights of a layer are kept, as a product of two axes.

*select* says which input channels a filter reads, *taps* which kernel positions are read at all.
Exactness is what buys hardware: every filter keeps the same count, so all columns of a PE array
finish together, and the array depends on the pattern and the shape only.

All functions see a weight tensor as ``(F, C, Kh, Kw)``; a linear layer is ``(O, I, 1, 1)``.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from systolith.network.errors import raise_if_any

__all__ = [
    "AllTaps",
    "BoolArray",
    "Dense",
    "Granularity",
    "KOutOfN",
    "Pattern",
    "PerNeuron",
    "Select",
    "Strided",
    "Taps",
    "WeightShape",
]

BoolArray = NDArray[np.bool_]
WeightShape = tuple[int, int, int, int]

MAX_REPORTED = 5


class Granularity(Enum):
    """What one choice of a k-out-of-n group covers."""

    WEIGHT = "weight"
    """Chosen anew at each tap."""
    KERNEL = "kernel"
    """The same choice at all taps: whole kernels are kept or dropped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dense:
    """Every input channel is read."""

    def __str__(self) -> str:
        return "dense"


@dataclass(frozen=True, slots=True)
class KOutOfN:
    """Exactly `k` kept in every group of `n` consecutive input channels.

    Parameters
    ----------
    k, n : int
        ``1 <= k <= n``; n divides the layer's input channels.
    granularity : Granularity
        WEIGHT chooses anew at each tap (N:M-like), KERNEL keeps whole kernels (n = C is
        "k kernels per feature map").
    shared_by : int
        This many neighbouring filters share one selection; divides the layer's filters.

    Raises
    ------
    NetworkError
        If the numbers are out of range.
    """

    k: int
    n: int
    granularity: Granularity = Granularity.WEIGHT
    shared_by: int = 1

    def __post_init__(self) -> None:
        problems = []
        if not 1 <= self.k <= self.n:
            problems.append(f"k-out-of-n needs 1 <= k <= n, got k={self.k}, n={self.n}")
        if self.shared_by < 1:
            problems.append(f"shared_by must be at least 1, got {self.shared_by}")
        raise_if_any(problems)

    def __str__(self) -> str:
        kernel = " kernels" if self.granularity is Granularity.KERNEL else ""
        shared = f" shared by {self.shared_by}" if self.shared_by > 1 else ""
        return f"{self.k}-out-of-{self.n}{kernel}{shared}"


@dataclass(frozen=True, slots=True)
class PerNeuron:
    """Exactly `k` weights kept anywhere in the reduction of each filter.

    The per-neuron form of Dynamic Probabilistic Pruning (Gonzalez-Carabarin et al., 2022): n is the
    whole reduction ``C * Kh * Kw``, less the taps that :class:`Strided` drops.

    Parameters
    ----------
    k : int
        At least 1 and at most the reduction.
    shared_by : int
        This many neighbouring filters share one selection; divides the layer's filters.
    """

    k: int
    shared_by: int = 1

    def __post_init__(self) -> None:
        problems = []
        if self.k < 1:
            problems.append(f"per-neuron k must be at least 1, got {self.k}")
        if self.shared_by < 1:
            problems.append(f"shared_by must be at least 1, got {self.shared_by}")
        raise_if_any(problems)

    def __str__(self) -> str:
        shared = f" shared by {self.shared_by}" if self.shared_by > 1 else ""
        return f"{self.k} per neuron{shared}"


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
        At least 1.
    offsets : tuple of int
        One per input channel, each in ``0..stride-1``.
    """

    stride: int
    offsets: tuple[int, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "offsets", tuple(int(offset) for offset in self.offsets))
        problems = []
        if self.stride < 1:
            problems.append(f"tap stride must be at least 1, got {self.stride}")
        if bad := [offset for offset in self.offsets if not 0 <= offset < max(self.stride, 1)]:
            problems.append(f"tap offsets must lie in 0..{self.stride - 1}, got {bad[0]}")
        raise_if_any(problems)

    def __str__(self) -> str:
        return f"every {self.stride}. tap"


Select = Dense | KOutOfN | PerNeuron
Taps = AllTaps | Strided


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """The product of a channel selection and a tap selection.

    With :class:`Strided` taps, a k-out-of-n group must have one offset for all its channels: then a
    group is read whole or not at all at each tap, and "exactly k" keeps its meaning.
    """

    select: Select = Dense()
    taps: Taps = AllTaps()

    def __str__(self) -> str:
        if isinstance(self.taps, AllTaps):
            return str(self.select)
        return f"{self.select}, {self.taps}"

    @property
    def is_dense(self) -> bool:
        """Whether every weight is kept."""
        return self.select == Dense() and self.taps == AllTaps()

    def problems(self, shape: WeightShape) -> Iterator[str]:
        """Why the pattern cannot be laid over weights of this shape; nothing if it can."""
        filters, channels, kh, kw = shape
        if isinstance(self.taps, Strided):
            yield from _strided_problems(self.taps, self.select, shape)
        if isinstance(self.select, Dense):
            return
        name = f"{self.select.k}-out-of-{_group_size(self.select, shape)}"
        if filters % self.select.shared_by:
            yield (
                f"selections shared by {self.select.shared_by} filters need a multiple of "
                f"{self.select.shared_by} filters, got {filters}"
            )
        if isinstance(self.select, KOutOfN) and channels % self.select.n:
            yield (
                f"{name} pruning needs input channels divisible by {self.select.n}, got {channels}"
            )
        if isinstance(self.select, PerNeuron) and self.select.k > self._reduction(shape):
            yield f"{name} per neuron needs k of at most {self._reduction(shape)}, the weights read"

    def _reduction(self, shape: WeightShape) -> int:
        """Count the weights of one filter that `taps` leaves to choose from."""
        if isinstance(self.taps, Strided) and len(self.taps.offsets) != shape[1]:
            return int(np.prod(shape[1:]))
        return int(self.tap_mask(shape).sum())

    def tap_mask(self, shape: WeightShape) -> BoolArray:
        """Which taps of each input channel are read; shape (C, Kh, Kw)."""
        _, channels, kh, kw = shape
        if isinstance(self.taps, AllTaps):
            return np.ones((channels, kh, kw), dtype=np.bool_)
        position = np.arange(kh * kw)
        offset = np.array(self.taps.offsets)[:, None]
        read = (position - offset) % self.taps.stride == 0
        return np.asarray(read.reshape(channels, kh, kw))

    def kept(self, shape: WeightShape) -> int:
        """Count the weights that every conforming mask of this shape keeps."""
        filters, channels, kh, kw = shape
        rows = int(self.tap_mask(shape).sum())
        match self.select:
            case Dense():
                return filters * rows
            case KOutOfN(k=k, n=n):
                return filters * rows // n * k
            case PerNeuron(k=k):
                return filters * k

    def best_mask(self, score: NDArray[np.float64]) -> BoolArray:
        """Find the conforming mask with the highest total score.

        Parameters
        ----------
        score : array of float, shape (F, C, Kh, Kw)
            Higher is kept. Ties go to the lower index (channel, for groups; flattened, per neuron).

        Returns
        -------
        array of bool, shape (F, C, Kh, Kw)

        Raises
        ------
        NetworkError
            If the pattern cannot be laid over the shape.
        """
        shape = _as_weight_shape(score.shape)
        raise_if_any(self.problems(shape))
        taps = np.broadcast_to(self.tap_mask(shape), shape)
        if isinstance(self.select, Dense):
            return taps.copy()
        grouped = _to_groups(np.where(taps, score, -np.inf), self.select)
        order = np.argsort(-grouped, axis=-1, kind="stable")
        chosen = np.zeros(grouped.shape, dtype=np.bool_)
        np.put_along_axis(chosen, order[..., : self.select.k], True, axis=-1)
        return np.asarray(_from_groups(chosen, self.select, shape) & taps)

    def violations(self, mask: BoolArray) -> Iterator[str]:
        """Where `mask` (F, C, Kh, Kw) breaks the pattern, naming filter, group, tap and count."""
        shape = _as_weight_shape(mask.shape)
        found = list(self._violations(mask, shape))
        yield from found[:MAX_REPORTED]
        if len(found) > MAX_REPORTED:
            yield f"and {len(found) - MAX_REPORTED} more places that break the pattern {self}"

    def _violations(self, mask: BoolArray, shape: WeightShape) -> Iterator[str]:
        taps = np.broadcast_to(self.tap_mask(shape), shape)
        for f, c, y, x in np.argwhere(mask & ~taps):
            yield f"filter {f} keeps tap ({y}, {x}) of input channel {c}, which {self.taps} drops"
        if isinstance(self.select, Dense):
            for f, c, y, x in np.argwhere(~mask & taps):
                yield f"filter {f} drops the weight of input channel {c} at tap ({y}, {x})"
            return
        yield from self._count_violations(mask & taps, taps, shape)
        yield from self._sharing_violations(mask, shape)

    def _count_violations(
        self, mask: BoolArray, taps: BoolArray, shape: WeightShape
    ) -> Iterator[str]:
        if isinstance(self.select, PerNeuron):
            for f, count in enumerate(mask.reshape(shape[0], -1).sum(axis=1)):
                if count != self.select.k:
                    yield f"filter {f} keeps {count} weights, but {self} needs {self.select.k}"
            return
        assert isinstance(self.select, KOutOfN)
        k, n = self.select.k, self.select.n
        filters, channels, kh, kw = shape
        counts = mask.reshape(filters, channels // n, n, kh, kw).sum(axis=2)
        wanted = np.where(taps.reshape(filters, channels // n, n, kh, kw)[:, :, 0], k, 0)
        for f, g, y, x in np.argwhere(counts != wanted):
            members = f"input channels {g * n}..{g * n + n - 1}"
            yield (
                f"filter {f}, group {g} ({members}) at tap ({y}, {x}) keeps "
                f"{counts[f, g, y, x]} weights, but {self.select} needs {wanted[f, g, y, x]}"
            )
        if self.select.granularity is Granularity.KERNEL:
            partial = mask.any(axis=(2, 3)) & (mask != taps).any(axis=(2, 3))
            for f, c in np.argwhere(partial):
                yield f"filter {f} keeps only some taps of the kernel of input channel {c}"

    def _sharing_violations(self, mask: BoolArray, shape: WeightShape) -> Iterator[str]:
        assert not isinstance(self.select, Dense)
        shared_by = self.select.shared_by
        leaders = mask[(np.arange(shape[0]) // shared_by) * shared_by]
        for f in np.flatnonzero((mask != leaders).any(axis=(1, 2, 3))):
            yield (
                f"filter {f} selects other weights than filter {f // shared_by * shared_by}, "
                f"but {shared_by} neighbouring filters share one selection"
            )


def _strided_problems(taps: Strided, select: Select, shape: WeightShape) -> Iterator[str]:
    _, channels, kh, kw = shape
    if len(taps.offsets) != channels:
        yield (
            f"strided taps need one offset per input channel ({channels}), got {len(taps.offsets)}"
        )
    elif isinstance(select, KOutOfN) and channels % select.n == 0:
        groups = np.array(taps.offsets).reshape(-1, select.n)
        for g in np.flatnonzero((groups != groups[:, :1]).any(axis=1)):
            yield (
                f"strided taps with {select} need one offset per group, but group {g} has "
                f"{sorted({int(offset) for offset in groups[g]})}"
            )
    if taps.stride > kh * kw:
        yield f"tap stride must be at most the {kh * kw} taps of the kernel, got {taps.stride}"


def _group_size(select: KOutOfN | PerNeuron, shape: WeightShape) -> int:
    return select.n if isinstance(select, KOutOfN) else int(np.prod(shape[1:]))


def _as_weight_shape(shape: tuple[int, ...]) -> WeightShape:
    if len(shape) != 4:
        raise_if_any([f"weights and masks must have shape (F, C, Kh, Kw), got {shape}"])
    filters, channels, kh, kw = shape
    return filters, channels, kh, kw


def _to_groups(score: NDArray[np.float64], select: KOutOfN | PerNeuron) -> NDArray[np.float64]:
    """Bring competing scores to the last axis; those of shared and whole kernels are summed."""
    filters, channels, kh, kw = score.shape
    shared = score.reshape(filters // select.shared_by, select.shared_by, channels, kh, kw).sum(1)
    if isinstance(select, PerNeuron):
        return np.asarray(shared.reshape(len(shared), -1))
    groups = shared.reshape(len(shared), channels // select.n, select.n, kh * kw)
    if select.granularity is Granularity.KERNEL:
        finite = np.where(np.isfinite(groups), groups, 0.0)
        return np.asarray(finite.sum(axis=3))
    return np.asarray(groups.swapaxes(2, 3))


def _from_groups(chosen: BoolArray, select: KOutOfN | PerNeuron, shape: WeightShape) -> BoolArray:
    """Undo :func:`_to_groups` for a mask."""
    filters, channels, kh, kw = shape
    if isinstance(select, PerNeuron):
        mask = chosen.reshape(-1, channels, kh, kw)
    elif select.granularity is Granularity.KERNEL:
        mask = np.broadcast_to(chosen.reshape(-1, channels, 1, 1), (len(chosen), channels, kh, kw))
    else:
        mask = chosen.swapaxes(2, 3).reshape(-1, channels, kh, kw)
    return np.repeat(mask, select.shared_by, axis=0)
