"""Grouped convolutions as sparse ones: a filter reads only the channels of its own group."""

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

__all__ = ["UngroupedWeights", "ungroup_pattern", "ungroup_weights"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class UngroupedWeights:
    """Weights of a convolution without groups; parameters as in :class:`systolith.network.Conv2d`.

    `groups` is 1, or the number of input channels (depthwise).
    """

    weight: IntArray
    groups: int
    pattern: Pattern
    mask: BoolArray | None


def ungroup_weights(
    weight: IntArray,
    groups: int,
    pattern: Pattern | None = None,
    mask: BoolArray | None = None,
) -> UngroupedWeights:
    """Write the weights of a grouped convolution as those of a single group, with zeros added.

    Parameters
    ----------
    weight : array of int, shape (F, C/groups, Kh, Kw)
    groups : int
        One group and depthwise convolutions stay as they are.
    pattern : Pattern, optional
        Pattern of `weight`, without the added zeros. Default: dense.
    mask : array of bool, shape of weight, optional
        Conforms to `pattern`.

    Raises
    ------
    NetworkError
        As in :func:`ungroup_pattern`.

    Examples
    --------
    >>> single = ungroup_weights(np.array([1, 2, 3, 4]).reshape(2, 2, 1, 1), groups=2)
    >>> single.weight.reshape(2, 4)
    array([[1, 2, 0, 0],
           [0, 0, 3, 4]])
    >>> print(single.pattern)
    2-out-of-4 kernels
    """
    filters, channels, kh, kw = weight.shape
    pattern = pattern or Pattern()
    if groups == 1 or channels == 1:
        return UngroupedWeights(weight=weight, groups=groups, pattern=pattern, mask=mask)
    kept = np.ones(weight.shape, dtype=np.bool_) if mask is None else mask
    return UngroupedWeights(
        weight=_spread(weight, groups),
        groups=1,
        pattern=ungroup_pattern(pattern, (filters, channels, kh, kw), groups),
        mask=np.asarray(_spread(kept.astype(np.int64), groups), dtype=np.bool_),
    )


def ungroup_pattern(pattern: Pattern, shape: WeightShape, groups: int) -> Pattern:
    """Write the pattern of a grouped convolution as one over all input channels.

    It keeps the same weights. A selection of k of every n channels becomes one of
    ``k * C/groups / n`` of all C. A dense pattern becomes C/groups whole kernels of C, which takes
    an engine the same cycles as the grouped convolution.

    Parameters
    ----------
    pattern : Pattern
    shape : (F, C/groups, Kh, Kw)
        Shape of the weights that `pattern` applies to.
    groups : int
        One group and depthwise convolutions keep their pattern.

    Raises
    ------
    NetworkError
        If the pattern does not fit the shape, or has strided taps with different offsets without
        being per neuron, because an engine reads all channels at the same taps.
    """
    filters, channels = shape[:2]
    NetworkError.raise_if_any(pattern.problems(shape))
    if groups == 1 or channels == 1:
        return pattern
    # Filters that share a selection must be of one group.
    in_group, select, taps = filters // groups, pattern.select, pattern.taps
    spread: Select
    match select:
        case Dense():
            spread = KOutOfN(channels, channels * groups, Granularity.KERNEL, in_group)
        case KOutOfN(k=k, n=n, granularity=granularity, shared_by=shared):
            kept = channels // n * k
            spread = KOutOfN(kept, channels * groups, granularity, gcd(shared, in_group))
        case PerNeuron(shared_by=shared):
            spread = replace(select, shared_by=gcd(shared, in_group))
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
    index = np.arange(groups)
    placed[index, :, index] = weight.reshape(groups, -1, channels, kh, kw)
    return placed.reshape(filters, groups * channels, kh, kw)
