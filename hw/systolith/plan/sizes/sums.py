"""Biases as engines add them, and the widths of sums."""

import math
from math import ceil

import numpy as np

from systolith.network import (
    ActType,
    Conv2d,
    IntArray,
    KOutOfN,
    Linear,
    PerNeuron,
    Strided,
    Tensor,
    signed_bits,
)
from systolith.plan.sizes.array_shape import SingleBits

__all__ = ["any_sum_bits", "count_bits", "fold_bias", "partial_sum_bits"]


def fold_bias(
    layer: Conv2d | Linear, act: ActType, single_bits: SingleBits | None = None
) -> IntArray:
    """Subtract the zero point's share of the sum from the bias; padding reads as the zero point.

    Where PEs count equal bits, the bias contains the difference between sums and counts, too. With
    activations q of 0 or 1, a weight of -1 counts ``1 - q`` in place of ``-q``. With signs, n
    products sum to ``2 p - n``, if p of them are +1.

    Returns
    -------
    array of int64, shape (F,)
    """
    weight = layer.weight.reshape(len(layer.weight), -1)
    bias = np.asarray(layer.bias - act.zero_point * weight.sum(axis=1))
    match single_bits:
        case SingleBits.NUMBERS:
            return np.asarray(bias - (weight < 0).sum(axis=1))
        case SingleBits.SIGNS:
            return np.asarray(bias - (weight != 0).sum(axis=1))
        case None:
            return bias


def count_bits(layer: Conv2d | Linear, single_bits: SingleBits) -> int:
    """Width of the count of a filter's bits; of twice the count for signs."""
    most = _most_kept(layer) * (2 if single_bits is SingleBits.SIGNS else 1)
    return signed_bits(0, most)


def partial_sum_bits(layer: Conv2d | Linear, image: Tensor) -> int:
    """Width of all partial sums of raw activations times the layer's own weights."""
    weight = layer.weight.reshape(len(layer.weight), -1)
    positive = weight.clip(min=0).sum(axis=1)
    negative = weight.clip(max=0).sum(axis=1)
    low, high = image.type.low, image.type.high
    least, most = positive * low + negative * high, positive * high + negative * low
    return signed_bits(min(int(least.min()), 0), max(int(most.max()), 0))


def any_sum_bits(layer: Conv2d | Linear, image: Tensor) -> int:
    """Width of all partial sums of raw activations times any weights of the pattern."""
    kept = _most_kept(layer)
    bits = max(layer.weight_bits, 2)
    products = [
        weight * act
        for weight in (-(1 << bits - 1), (1 << bits - 1) - 1)
        for act in (image.type.low, image.type.high)
    ]
    return signed_bits(kept * min(products), kept * max(products))


def _most_kept(layer: Conv2d | Linear) -> int:
    """Most weights that a filter keeps, whatever its weights."""
    pattern, (channels, *kernel) = layer.pattern, layer.weight.shape[1:]
    taps = math.prod(kernel)
    if isinstance(pattern.taps, Strided):
        taps = ceil(taps / pattern.taps.stride)
    kept: int = channels * taps
    match pattern.select:
        case KOutOfN(k=k, n=n):
            kept = kept * k // n
        case PerNeuron(k=k):
            kept = k
    return kept
