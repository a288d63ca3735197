"""Sparsity that weights have already: which patterns they conform to, and the best of these."""

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
MOST_KEPT = 0.75
"""Hardware that keeps more than this of each group gains nothing over the dense one."""
GATHER_COST = 2.0
"""A weight that may be anywhere in the filter costs as much as this many of a group's."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Structure:
    """A pattern, and the mask by which weights conform to it.

    Attributes
    ----------
    pattern : Pattern
    mask : array of bool, shape of the weights, or None
        None where the pattern is dense. It keeps every weight that is not 0, and where a group has
        fewer of these than the pattern keeps, some that are 0.
    density : float
        Share of the weights that the pattern keeps, 0..1.
    """

    pattern: Pattern
    mask: BoolArray | None
    density: float


DENSE = Structure(pattern=Pattern(), mask=None, density=1.0)
"""What all weights conform to."""


def detect_structure(weight: ArrayLike) -> Structure:
    """Find the pattern that serves hardware best of those that weights conform to already.

    The fewest kept weights win; of equal ones whole kernels, then selections shared by two filters,
    then the smaller group. Dense if none keeps 75 % of the weights or less.

    Parameters
    ----------
    weight : array, shape (F, C, Kh, Kw) or (O, I)
        Pruned weights are exactly 0.

    Returns
    -------
    Structure
        Its mask has the shape of `weight`.

    Raises
    ------
    ValueError
        If the weights have another number of axes.

    Examples
    --------
    >>> found = detect_structure(np.array([[3, 0, 0, 1], [0, 0, 2, 2]]))
    >>> print(found.pattern, found.density)
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
    found = []
    for taps in _taps(used):
        for select in _selects(used, taps):
            pattern = Pattern(select=select, taps=taps)
            if pattern.is_dense or any(pattern.problems(shape)):
                continue
            mask = pattern.best_mask(used)
            if not (used & ~mask).any():
                density = pattern.kept(shape) / used.size
                found.append(
                    Structure(pattern=pattern, mask=mask.reshape(weights.shape), density=density)
                )
    found = [each for each in found if _cost(each)[0] <= MOST_KEPT]
    yield from sorted(found, key=_cost)
    yield DENSE


def _cost(found: Structure) -> tuple[float, int, int, int]:
    """Order structures by what they cost hardware."""
    select = found.pattern.select
    match select:
        case KOutOfN():
            kernels = select.granularity is Granularity.KERNEL
            return found.density, not kernels, -select.shared_by, select.n
        case PerNeuron():
            return found.density * GATHER_COST, 2, -select.shared_by, 0
        case Dense():
            return found.density, 0, 0, 0


def _taps(used: BoolArray) -> Iterator[Taps]:
    """Tap selections that drop no weight that is used."""
    yield AllTaps()
    channels, count = used.shape[1], used[0, 0].size
    read = used.any(axis=0).reshape(channels, count)
    for stride in range(count, 1, -1):
        by_offset = np.stack([read[:, start::stride].any(axis=1) for start in range(stride)], 1)
        if (by_offset.sum(axis=1) <= 1).all():
            yield Strided(stride, tuple(by_offset.argmax(axis=1).tolist()))
            return


def _selects(used: BoolArray, taps: Taps) -> Iterator[Select]:
    """Selections of channels that may fit, each with the least k."""
    filters, channels, kh, kw = used.shape
    yield Dense()
    for shared_by, granularity in product(SHARED_BY, Granularity):
        if filters % shared_by:
            continue
        teams = _together(used, shared_by)
        if granularity is Granularity.KERNEL:
            if kh * kw == 1:
                continue
            teams = np.asarray(teams.any(axis=(2, 3), keepdims=True))
        for n in _groups(channels, granularity):
            k = max(1, int(teams.reshape(len(teams), channels // n, n, -1).sum(axis=2).max()))
            if k < n:
                yield KOutOfN(k, n, granularity=granularity, shared_by=shared_by)
    if isinstance(taps, AllTaps):
        for shared_by in SHARED_BY:
            if filters % shared_by == 0:
                k = max(1, int(_together(used, shared_by).sum(axis=(1, 2, 3)).max()))
                yield PerNeuron(k, shared_by=shared_by)


def _groups(channels: int, granularity: Granularity) -> Sequence[int]:
    """Sizes of groups: the usual ones, and all kernels of a feature map."""
    sizes = {n for n in GROUPS if channels % n == 0}
    if granularity is Granularity.KERNEL and channels > 1:
        sizes.add(channels)
    return sorted(sizes)


def _together(used: BoolArray, shared_by: int) -> BoolArray:
    """What neighbouring filters use between them."""
    return np.asarray(used.reshape(-1, shared_by, *used.shape[1:]).any(axis=1))
