"""Scales as an integer multiplier and one right shift for all channels of a layer."""

from dataclasses import dataclass
from math import floor, log2

import torch
from torch import Tensor

__all__ = ["FixedPoint", "fixed_point"]

MAX_MULTIPLIER = (1 << 16) - 1
MAX_SHIFT = 47


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FixedPoint:
    """``scale = multiplier / 2**shift``.

    Parameters
    ----------
    multiplier : Tensor of int64, shape (channels,)
        0..65535.
    shift : int
        0..47, the same for all channels, so that hardware needs no barrel shifter.
    """

    multiplier: Tensor
    shift: int


def fixed_point(scale: Tensor) -> FixedPoint:
    """Write scales as multipliers with a common shift.

    The largest multiplier uses all of its 16 bits, and common factors of two are taken out. So a
    power of two (the same for all channels) becomes multiplier 1, exactly. A scale 64 times smaller
    than the largest (the most that :class:`WeightQuantizer` allows) still has a multiplier of at
    least 512: it is off by 0.1 % at most, a quarter of the last place of an 8-bit output.

    Parameters
    ----------
    scale : Tensor of float64, shape (channels,)
        Positive.

    Returns
    -------
    FixedPoint

    Raises
    ------
    ValueError
        If the largest scale is not in ``2**-47 .. 65535``.

    Examples
    --------
    >>> fixed_point(torch.tensor([0.75, 0.25], dtype=torch.float64))
    FixedPoint(multiplier=tensor([3, 1]), shift=2)
    """
    largest = float(scale.max())
    if not 2.0**-MAX_SHIFT <= largest <= MAX_MULTIPLIER:
        raise ValueError(f"scales must lie in 2**-{MAX_SHIFT}..{MAX_MULTIPLIER}, got {largest}")
    shift = min(floor(log2(MAX_MULTIPLIER / largest)), MAX_SHIFT)
    multiplier = torch.floor(scale.double() * 2.0**shift + 0.5).to(torch.int64)
    while shift and not bool((multiplier & 1).any()):
        multiplier, shift = multiplier >> 1, shift - 1
    return FixedPoint(multiplier=multiplier, shift=shift)
