"""Grouped convolutions as sparse ones: a filter reads the channels of its own group only."""

from dataclasses import dataclass, replace
from math import gcd

import numpy as np

from systolith.network.axes import (
    BoolArray,
    Dense,
    Granularity,
    KOutOfN,
    PerNeuron,
    Select,
    Strided,
    WeightShape,
)
from systolith.network.errors import NetworkError
from systolith.network.numbers import IntArray
from systolith.network.pattern import Pattern

__all__ = ["Ungrouped", "ungrouped", "ungrouped_pattern"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ungrouped:
    """Weights of a convolution of any groups, as a :class:`Conv2d` has them; parameters as there.

    `groups` is 1, or the number of input channels (depthwise).
    """

    weight: IntArray
    groups: int
    pattern: Pattern
    mask: BoolArray | None


def ungrouped(
    weight: IntArray,
    groups: int,
    pattern: Pattern | None = None,
    mask: BoolArray | None = None,
) -> Ungrouped:
    """Write a convolution of several groups as one of a single group, with zeros between.

    Parameters
    ----------
    weight : array of int, shape (F, C/groups, Kh, Kw)
    groups : int
        One group and depthwise convolutions stay as they are.
    pattern : Pattern, optional
        Of the weights as they are given, without the zeros. Default: dense.
    mask : array of bool, shape of weight, optional
        That conforms to `pattern`.

    Raises
    ------
    NetworkError
        As :func:`ungrouped_pattern`.

    Examples
    --------
    >>> found = ungrouped(np.array([1, 2, 3, 4]).reshape(2, 2, 1, 1), groups=2)
    >>> found.weight.reshape(2, 4)
    array([[1, 2, 0, 0],
           [0, 0, 3, 4]])
    >>> print(found.pattern)
    2-out-of-4 kernels
    """
    filters, channels, kh, kw = weight.shape
    pattern = pattern or Pattern()
    if groups == 1 or channels == 1:
        return Ungrouped(weight=weight, groups=groups, pattern=pattern, mask=mask)
    kept = np.ones(weight.shape, dtype=np.bool_) if mask is None else mask
    return Ungrouped(
        weight=_spread(weight, groups),
        groups=1,
        pattern=ungrouped_pattern(pattern, (filters, channels, kh, kw), groups),
        mask=np.asarray(_spread(kept.astype(np.int64), groups), dtype=np.bool_),
    )


def ungrouped_pattern(pattern: Pattern, shape: WeightShape, groups: int) -> Pattern:
    """Write a pattern of a grouped convolution's weights as one of all input channels.

    It keeps the same weights. A selection of k of every n channels becomes one of
    ``k * C/groups / n`` of all C; without a selection, whole kernels are kept, C/groups of C, which
    takes an engine the cycles of the grouped convolution.

    Parameters
    ----------
    pattern : Pattern
    shape : (F, C/groups, Kh, Kw)
        Of the weights as `pattern` sees them.
    groups : int
        One group and depthwise convolutions keep their pattern.

    Raises
    ------
    NetworkError
        If the pattern cannot be laid over the shape, or strides taps with different offsets while
        it is not per neuron: an engine brings all channels at once, at the same taps.
    """
    filters, channels = shape[:2]
    NetworkError.raise_if_any(pattern.problems(shape))
    if groups == 1 or channels == 1:
        return pattern
    # Filters that share a selection must be of one group.
    each, select, taps = filters // groups, pattern.select, pattern.taps
    spread: Select
    match select:
        case Dense():
            spread = KOutOfN(channels, channels * groups, Granularity.KERNEL, each)
        case KOutOfN(k=k, n=n, granularity=granularity, shared_by=shared):
            kept = channels // n * k
            spread = KOutOfN(kept, channels * groups, granularity, gcd(shared, each))
        case PerNeuron(shared_by=shared):
            spread = replace(select, shared_by=gcd(shared, each))
    if isinstance(taps, Strided):
        if not isinstance(select, PerNeuron) and len(offsets := set(taps.offsets)) > 1:
            problem = (
                f"strided taps of a convolution of {groups} groups need one offset for all "
                f"channels, got {sorted(offsets)}"
            )
            NetworkError.raise_if_any([problem])
        taps = Strided(taps.stride, taps.offsets * groups)
    return Pattern(select=spread, taps=taps)


def _spread(weight: IntArray, groups: int) -> IntArray:
    filters, channels, kh, kw = weight.shape
    placed = np.zeros((groups, filters // groups, groups, channels, kh, kw), dtype=np.int64)
    each = np.arange(groups)
    placed[each, :, each] = weight.reshape(groups, -1, channels, kh, kw)
    return placed.reshape(filters, groups * channels, kh, kw)
