"""Sparsity patterns: which weights of a layer are kept, as a product of two axes.

*select* chooses the input channels of a filter, *taps* the kernel positions. Every filter keeps the
same number of weights, so that all columns of a PE array finish together and the array depends only
on pattern and shape.

Weights have the shape ``(F, C, Kh, Kw)``; those of a linear layer are ``(O, I, 1, 1)``.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import ArrayLike, NDArray

from systolith.network._conformance import Finding, mask_findings, report
from systolith.network._fields import Fields, as_int, repr_of
from systolith.network.axes import (
    AllTaps,
    BoolArray,
    Dense,
    Granularity,
    KOutOfN,
    PerNeuron,
    Select,
    Strided,
    Taps,
    WeightShape,
)
from systolith.network.errors import NetworkError

__all__ = ["Pattern"]

MAX_SCORE = 1e300


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """The product of a channel selection and a tap selection.

    With :class:`Strided` taps, all channels of a k-out-of-n group must have one offset. Each tap
    then reads a group as a whole or not at all.

    Parameters
    ----------
    select : Dense, KOutOfN or PerNeuron
        Selection of the input channels of a filter.
    taps : AllTaps or Strided
        Selection of kernel positions.

    Raises
    ------
    NetworkError
        If `select` or `taps` has another type.

    Examples
    --------
    >>> pattern = Pattern(select=KOutOfN(1, 2))
    >>> pattern.kept((1, 4, 1, 1))
    2
    >>> pattern.best_mask(np.array([3, 1, 2, 2]).reshape(1, 4, 1, 1)).ravel()
    array([ True, False,  True, False])
    >>> print(*pattern.violations(np.array([1, 1, 1, 0], dtype=bool).reshape(1, 4, 1, 1)))
    filter 0, group 0 (input channels 0..1) at tap (0, 0) keeps 2 weights, but 1-out-of-2 needs 1
    """

    select: Select = Dense()
    taps: Taps = AllTaps()

    def __post_init__(self) -> None:
        fields = Fields(self)
        fields.instance("select", Dense, KOutOfN, PerNeuron)
        fields.instance("taps", AllTaps, Strided)
        fields.finish()

    def __str__(self) -> str:
        if isinstance(self.taps, AllTaps):
            return str(self.select)
        return f"{self.select}, {self.taps}"

    @property
    def is_dense(self) -> bool:
        """Whether the pattern keeps all weights and needs no mask."""
        return self.select == Dense() and self.taps == AllTaps()

    def problems(self, shape: WeightShape) -> Iterator[str]:
        """List why the pattern does not fit weights of this shape."""
        if unfit := list(_shape_problems(shape)):
            yield from unfit
            return
        filters, channels, _, _ = shape
        yield from self._tap_problems(shape)
        if isinstance(self.select, Dense):
            return
        if filters % self.select.shared_by:
            yield (
                f"selections shared by {self.select.shared_by} filters need a multiple of "
                f"{self.select.shared_by} filters, got {filters}"
            )
        if isinstance(self.select, PerNeuron):
            if self.select.k > (most := self._reduction(shape)):
                yield (
                    f"{self.select.k}-out-of-{most} per neuron needs k of at most {most}, the "
                    f"weights that each filter reads"
                )
        elif channels % self.select.n:
            yield (
                f"{self.select.k}-out-of-{self.select.n} pruning needs input channels divisible by "
                f"{self.select.n}, got {channels}"
            )
        elif isinstance(self.taps, Strided) and len(self.taps.offsets) == channels:
            yield from report([self._ragged_groups()], "the pattern")

    def _tap_problems(self, shape: WeightShape) -> Iterator[str]:
        """List why `taps` do not fit the shape."""
        if not isinstance(self.taps, Strided):
            return
        channels, taps = shape[1], prod(shape[2:])
        if len(self.taps.offsets) != channels:
            yield (
                f"strided taps need one offset per input channel ({channels}), "
                f"got {len(self.taps.offsets)}"
            )
        if self.taps.stride > taps:
            yield (
                f"tap stride must be at most the {taps} taps of the kernel, got {self.taps.stride}"
            )

    def _ragged_groups(self) -> Finding:
        assert isinstance(self.taps, Strided) and isinstance(self.select, KOutOfN)
        groups = np.array(self.taps.offsets).reshape(-1, self.select.n)
        return Finding(
            (groups != groups[:, :1]).any(axis=1),
            lambda g: (
                f"strided taps with {self.select} need one offset per group, but group {g} has "
                f"{sorted(set(groups[g].tolist()))}"
            ),
        )

    def _reduction(self, shape: WeightShape) -> int:
        """Count the weights of one filter at the positions of `taps`."""
        if isinstance(self.taps, Strided) and len(self.taps.offsets) != shape[1]:
            return prod(shape[1:])
        return int(np.count_nonzero(self._read(shape)))

    def tap_mask(self, shape: WeightShape) -> BoolArray:
        """Return the taps of each input channel that are read.

        Returns
        -------
        array of bool, shape (C, Kh, Kw)

        Raises
        ------
        NetworkError
            If `taps` do not fit the shape.
        """
        NetworkError.raise_if_any(_shape_problems(shape) or self._tap_problems(shape))
        return self._read(shape)

    def _read(self, shape: WeightShape) -> BoolArray:
        _, channels, kh, kw = shape
        if isinstance(self.taps, AllTaps):
            return np.ones((channels, kh, kw), dtype=np.bool_)
        position = np.arange(kh * kw)
        offset = np.array(self.taps.offsets)[:, None]
        return np.asarray(((position - offset) % self.taps.stride == 0).reshape(channels, kh, kw))

    def kept(self, shape: WeightShape) -> int:
        """Count the weights that a conforming mask of this shape keeps.

        Raises
        ------
        NetworkError
            If the pattern does not fit the shape.
        """
        NetworkError.raise_if_any(self.problems(shape))
        read = int(np.count_nonzero(self._read(shape)))
        match self.select:
            case Dense():
                return shape[0] * read
            case KOutOfN(k=k, n=n):
                return shape[0] * (read // n) * k
            case PerNeuron(k=k):
                return shape[0] * k

    def best_mask(self, score: ArrayLike) -> BoolArray:
        """Find the conforming mask with the highest total score.

        Parameters
        ----------
        score : array of float, shape (F, C, Kh, Kw)
            Higher scores are kept. Scores of one selection are added in float64, infinite ones as
            1e300. Ties go to the lower index (of channels in groups; flattened per neuron).

        Returns
        -------
        array of bool, shape (F, C, Kh, Kw)

        Raises
        ------
        NetworkError
            If the pattern does not fit the shape, or a score is not a number.
        """
        scores = np.asarray(score, dtype=np.float64)
        shape = _as_weight_shape(scores.shape)
        unfit = list(self.problems(shape))
        if np.isnan(scores).any():
            unfit.append("scores must be numbers, got nan")
        NetworkError.raise_if_any(unfit)
        read = self._read(shape)
        if isinstance(self.select, Dense):
            return np.broadcast_to(read, shape).copy()
        grouped = _to_groups(scores, read, self.select)
        order = np.argsort(-grouped, axis=-1, kind="stable")
        chosen = np.zeros(grouped.shape, dtype=np.bool_)
        np.put_along_axis(chosen, order[..., : self.select.k], True, axis=-1)
        return np.asarray(_from_groups(chosen, self.select, shape) & read)

    def violations(self, mask: BoolArray) -> Iterator[str]:
        """Describe where `mask` violates the pattern: filter, group, tap and count.

        Parameters
        ----------
        mask : array of bool, shape (F, C, Kh, Kw)
            True keeps.

        Yields
        ------
        str
            The first five places, then the number of others; nothing if the mask conforms. If the
            pattern does not fit the shape, only the reasons.
        """
        if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_:
            yield f"a mask must be an array of bool, got {repr_of(mask)}"
        elif unfit := list(self.problems(mask.shape)):
            yield from unfit
        else:
            read = self._read(_as_weight_shape(mask.shape))[None]
            findings = mask_findings(self.select, self.taps, read, mask)
            yield from report(findings, f"the pattern {self}")


def _shape_problems(shape: Sequence[int]) -> list[str]:
    sizes = [as_int(size) for size in shape] if isinstance(shape, Sequence) else []
    if len(sizes) == 4 and all(size is not None and size >= 1 for size in sizes):
        return []
    return [f"weights and masks must have shape (F, C, Kh, Kw), none 0, got {repr_of(shape)}"]


def _as_weight_shape(shape: tuple[int, ...]) -> WeightShape:
    NetworkError.raise_if_any(_shape_problems(shape))
    filters, channels, kh, kw = shape
    return filters, channels, kh, kw


def _to_groups(
    score: NDArray[np.float64], read: BoolArray, select: KOutOfN | PerNeuron
) -> NDArray[np.float64]:
    """Bring competing scores to the last axis; scores of shared and whole kernels are added."""
    _, channels, kh, kw = score.shape
    kernel = isinstance(select, KOutOfN) and select.granularity is Granularity.KERNEL
    # Finite scores avoid inf - inf, and positions that are not read rank last.
    shared = np.where(read, np.clip(score, -MAX_SCORE, MAX_SCORE), 0.0 if kernel else -np.inf)
    if select.shared_by > 1:
        shared = shared.reshape(-1, select.shared_by, channels, kh, kw).sum(axis=1)
    if isinstance(select, PerNeuron):
        return np.asarray(shared.reshape(len(shared), -1))
    groups = shared.reshape(len(shared), channels // select.n, select.n, kh * kw)
    return np.asarray(groups.sum(axis=3) if kernel else groups.swapaxes(2, 3))


def _from_groups(chosen: BoolArray, select: KOutOfN | PerNeuron, shape: WeightShape) -> BoolArray:
    """Undo :func:`_to_groups` for a mask."""
    _, channels, kh, kw = shape
    if isinstance(select, PerNeuron):
        mask = chosen.reshape(-1, channels, kh, kw)
    elif select.granularity is Granularity.KERNEL:
        mask = np.broadcast_to(chosen.reshape(-1, channels, 1, 1), (len(chosen), channels, kh, kw))
    else:
        mask = chosen.swapaxes(2, 3).reshape(-1, channels, kh, kw)
    return np.repeat(mask, select.shared_by, axis=0)
