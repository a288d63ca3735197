"""Exact accumulator ranges, derived from the weights at hand and never guessed."""

from collections.abc import Sequence

import numpy as np

from systolith.network.layers import Add, AvgPool2d, Conv2d, Layer, Linear, Shape
from systolith.network.numbers import ActType

__all__ = ["accumulator_bits", "accumulator_range", "signed_bits"]


def accumulator_range(layer: Layer, inputs: Sequence[tuple[Shape, ActType]]) -> tuple[int, int]:
    """Least and greatest value that any partial sum of the layer can take.

    Terms may be added in any order, bias included: the range is the sum of all terms at their most
    negative and at their most positive, each of which some input reaches.

    Parameters
    ----------
    layer : Layer
        Any layer; those without an accumulator have the range of their input.
    inputs : sequence of (shape, type)
        What the layer reads.

    Returns
    -------
    tuple of int
        Inclusive bounds; 0 is always between them.
    """
    shape, act = inputs[0]
    low, high = act.low - act.zero_point, act.high - act.zero_point
    match layer:
        case Conv2d() | Linear():
            weight = layer.weight.reshape(len(layer.weight), -1)
            positive = np.maximum(weight, 0).sum(axis=1)
            negative = np.minimum(weight, 0).sum(axis=1)
            most = positive * high + negative * low + np.maximum(layer.bias, 0)
            least = positive * low + negative * high + np.minimum(layer.bias, 0)
            return min(int(least.min()), 0), max(int(most.max()), 0)
        case Add():
            other = inputs[1][1]
            least = (
                low * layer.multipliers[0] + (other.low - other.zero_point) * layer.multipliers[1]
            )
            most = (
                high * layer.multipliers[0] + (other.high - other.zero_point) * layer.multipliers[1]
            )
            return int(least), int(most)
        case AvgPool2d():
            kh, kw = layer.window(shape)
            return low * kh * kw, high * kh * kw
        case _:
            return min(act.low, 0), max(act.high, 0)


def accumulator_bits(layer: Layer, inputs: Sequence[tuple[Shape, ActType]]) -> int:
    """Width of a two's complement register that holds :func:`accumulator_range`."""
    return signed_bits(*accumulator_range(layer, inputs))


def signed_bits(low: int, high: int) -> int:
    """Width of the two's complement type that holds `low` and `high`.

    >>> signed_bits(-128, 127), signed_bits(-129, 0), signed_bits(0, 128), signed_bits(0, 0)
    (8, 9, 9, 1)
    """
    return max(high.bit_length(), (~low).bit_length() if low < 0 else 0) + 1
