"""Detection of sparsity: the patterns that weights conform to, and the best of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import ArrayLike

from systolith.network import (
    AllTaps,
    BoolArray,
    Dense,
    Granularity,
    KOutOfN,
    Pattern,
    PerNeuron,
    Select,
    Strided,
    Taps,
    WeightShape,
)

__all__ = ["DENSE", "Structure", "detect_structure", "detect_structures"]

GROUPS = (2, 4, 8, 16)
SHARED_BY = (2, 1)
MAX_DENSITY = 0.75
"""At a greater density, sparse hardware has no advantage over dense hardware."""
GATHER_COST = 2.0
"""Cost of a weight selected from the whole filter, relative to one selected from a group."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Structure:
    """A pattern that weights conform to, and its mask.

    Attributes
    ----------
    pattern : Pattern
    mask : array of bool, shape of the weights, or None
        None for a dense pattern. True for every weight that is not 0, and for some zeros where a
        group has fewer nonzero weights than the pattern keeps.
    density : float
        Share of weights that the pattern keeps, 0..1.
    """

    pattern: Pattern
    mask: BoolArray | None
    density: float


DENSE = Structure(pattern=Pattern(), mask=None, density=1.0)
"""All weights conform to it."""


def detect_structure(weight: ArrayLike) -> Structure:
    """Find the best pattern for hardware that weights already conform to.

    The lowest density wins; at equal density whole kernels, then selections shared by two filters,
    then the smaller group. Dense if no pattern has a density of 75 % or less.

    Parameters
    ----------
    weight : array, shape (F, C, Kh, Kw) or (O, I)
        Pruned weights are exactly 0.

    Returns
    -------
    Structure
        The mask has the shape of `weight`.

    Raises
    ------
    ValueError
        If `weight` does not have 2 or 4 axes.

    Examples
    --------
    >>> structure = detect_structure(np.array([[3, 0, 0, 1], [0, 0, 2, 2]]))
    >>> print(structure.pattern, structure.density)
    2-out-of-4 0.5
    """
    return next(detect_structures(weight))


def detect_structures(weight: ArrayLike) -> Iterator[Structure]:
    """Yield every pattern that the weights conform to, best first, dense last."""
    weights = np.asarray(weight)
    if weights.ndim not in (2, 4):
        raise ValueError(f"weights must be (F, C, Kh, Kw) or (O, I), got shape {weights.shape}")
    filters, channels, kh, kw = (*weights.shape, 1, 1)[:4]
    shape: WeightShape = (filters, channels, kh, kw)
    used = (weights != 0).reshape(shape)
    conforming = []
    for taps in _taps(used):
        for select in _selects(used, taps):
            pattern = Pattern(select=select, taps=taps)
            if pattern.is_dense or any(pattern.problems(shape)):
                continue
            mask = pattern.best_mask(used)
            if not (used & ~mask).any():
                density = pattern.kept(shape) / used.size
                conforming.append(
                    Structure(pattern=pattern, mask=mask.reshape(weights.shape), density=density)
                )
    conforming = [structure for structure in conforming if _cost(structure)[0] <= MAX_DENSITY]
    yield from sorted(conforming, key=_cost)
    yield DENSE


def _cost(structure: Structure) -> tuple[float, int, int, int]:
    """Give the sort key of a structure: its cost in hardware."""
    select = structure.pattern.select
    match select:
        case KOutOfN():
            kernels = select.granularity is Granularity.KERNEL
            return structure.density, not kernels, -select.shared_by, select.n
        case PerNeuron():
            return structure.density * GATHER_COST, 2, -select.shared_by, 0
        case Dense():
            return structure.density, 0, 0, 0


def _taps(used: BoolArray) -> Iterator[Taps]:
    """Yield tap selections that keep all nonzero weights."""
    yield AllTaps()
    channels, count = used.shape[1], used[0, 0].size
    read = used.any(axis=0).reshape(channels, count)
    for stride in range(count, 1, -1):
        by_offset = np.stack([read[:, start::stride].any(axis=1) for start in range(stride)], 1)
        if (by_offset.sum(axis=1) <= 1).all():
            yield Strided(stride, tuple(by_offset.argmax(axis=1).tolist()))
            return


def _selects(used: BoolArray, taps: Taps) -> Iterator[Select]:
    """Yield selections of channels that may fit, each with the least k."""
    filters, channels, kh, kw = used.shape
    yield Dense()
    for shared_by, granularity in product(SHARED_BY, Granularity):
        if filters % shared_by:
            continue
        groups = _combine(used, shared_by)
        if granularity is Granularity.KERNEL:
            if kh * kw == 1:
                continue
            groups = np.asarray(groups.any(axis=(2, 3), keepdims=True))
        for n in _group_sizes(channels, granularity):
            k = max(1, int(groups.reshape(len(groups), channels // n, n, -1).sum(axis=2).max()))
            if k < n:
                yield KOutOfN(k, n, granularity=granularity, shared_by=shared_by)
    if isinstance(taps, AllTaps):
        for shared_by in SHARED_BY:
            if filters % shared_by == 0:
                k = max(1, int(_combine(used, shared_by).sum(axis=(1, 2, 3)).max()))
                yield PerNeuron(k, shared_by=shared_by)


def _group_sizes(channels: int, granularity: Granularity) -> Sequence[int]:
    """List group sizes: the usual ones, and for kernels all input channels."""
    sizes = {n for n in GROUPS if channels % n == 0}
    if granularity is Granularity.KERNEL and channels > 1:
        sizes.add(channels)
    return sorted(sizes)


def _combine(used: BoolArray, shared_by: int) -> BoolArray:
    """Combine neighbouring filters that share a selection."""
    return np.asarray(used.reshape(-1, shared_by, *used.shape[1:]).any(axis=1))
