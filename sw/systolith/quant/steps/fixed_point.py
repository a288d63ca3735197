"""Scales as an integer multiplier and one right shift for all channels of a layer."""

from dataclasses import dataclass
from math import floor, log2

import torch
from torch import Tensor

__all__ = ["FixedPoint", "to_fixed_point"]

MAX_MULTIPLIER = (1 << 16) - 1
MAX_SHIFT = 47


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FixedPoint:
    """``scale = multiplier / 2**shift``, of values below 0 ``negative / 2**shift``.

    Parameters
    ----------
    multiplier : Tensor of int64, shape (channels,)
        0..65535.
    shift : int
        0..47, the same for all channels, so that hardware needs no barrel shifter.
    negative : Tensor of int64, shape (channels,), optional
        -65535..65535; None for `multiplier`.
    """

    multiplier: Tensor
    shift: int
    negative: Tensor | None = None


def to_fixed_point(scale: Tensor, slope: Tensor | None = None) -> FixedPoint:
    """Write scales as multipliers with a common shift.

    The largest multiplier uses all of its 16 bits; then common factors of two are removed. A power
    of two that all channels share becomes exactly 1. The smallest scale that
    :class:`systolith.quant.WeightQuantizer` allows, 1/64 of the largest, has a multiplier of at
    least 512: its error is at most 0.1 %, a quarter of the last place of an 8-bit output.

    Scales above 65535 become 65535. This changes no output of up to 16 bits, because every
    accumulator except 0 saturates it either way.

    Parameters
    ----------
    scale : Tensor of float64, shape (channels,)
        Positive.
    slope : Tensor of float64, shape (channels,) or (1,), optional
        Scales of values below 0, as multiples of `scale`; of any sign.

    Returns
    -------
    FixedPoint

    Raises
    ------
    ValueError
        If a scale is not a positive number.

    Examples
    --------
    >>> to_fixed_point(torch.tensor([0.75, 0.25], dtype=torch.float64))
    FixedPoint(multiplier=tensor([3, 1]), shift=2, negative=None)
    """
    if not bool(((scale > 0) & scale.isfinite()).all()):
        raise ValueError(f"scales must be positive numbers, got {scale.tolist()}")
    scales = [scale.double()]
    if slope is not None:
        if not bool(slope.isfinite().all()):
            raise ValueError(f"slopes must be finite, got {slope.tolist()}")
        scales.append(scale.double() * slope.double())
    scales = [part.clamp(-MAX_MULTIPLIER, MAX_MULTIPLIER) for part in scales]
    largest = max(float(part.abs().max()) for part in scales)
    shift = min(floor(log2(MAX_MULTIPLIER / largest)), MAX_SHIFT)
    multipliers = [torch.floor(part * 2.0**shift + 0.5).to(torch.int64) for part in scales]
    while shift and not any(bool((part & 1).any()) for part in multipliers):
        multipliers, shift = [part >> 1 for part in multipliers], shift - 1
    return FixedPoint(
        multiplier=multipliers[0],
        shift=shift,
        negative=multipliers[1] if slope is not None else None,
    )
