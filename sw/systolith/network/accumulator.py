"""Exact accumulator ranges, computed from the weights."""

from collections.abc import Sequence

import numpy as np

from systolith.network.layers import Add, AvgPool2d, Conv2d, Layer, Linear, Padding, Shape
from systolith.network.numbers import ActType

__all__ = ["accumulator_bits", "accumulator_range", "signed_bits"]


def accumulator_range(layer: Layer, inputs: Sequence[tuple[Shape, ActType]]) -> tuple[int, int]:
    """Compute the least and greatest value of any partial sum of a layer.

    Terms ``weight * (in - zero_point)`` and the bias may be added in any order. So the range is the
    sum of all terms at their most negative and at their most positive, over the taps of a window
    that are inside the image. It is exact: some input reaches each bound.

    Parameters
    ----------
    layer : Layer
        Any layer; without an accumulator, its range is that of its input.
    inputs : sequence of (shape, type)
        Inputs of the layer; ``layer.problems`` must be empty for them.

    Returns
    -------
    tuple of int
        Inclusive bounds; 0 is always between them.

    Examples
    --------
    >>> from systolith.network import Linear, Requantize
    >>> uint2 = ActType(bits=2, signed=False)
    >>> layer = Linear(
    ...     name="fc", input="input", weight=np.array([[2, -1]]), bias=np.array([5]), output=uint2,
    ...     requantize=Requantize(multiplier=np.array([1]), shift=np.array([0])),
    ... )
    >>> accumulator_range(layer, [((2,), uint2)])
    (-3, 11)
    """
    shape, act = inputs[0]
    low, high = act.low - act.zero_point, act.high - act.zero_point
    match layer:
        case Linear():
            return _weighted_range(layer, low, high, [(slice(None), slice(None))])
        case Conv2d():
            windows = _windows(shape, layer.kernel_size, layer.stride, layer.padding)
            return _weighted_range(layer, low, high, windows)
        case Add():
            other = inputs[1][1]
            a, b = layer.multipliers
            least = low * a + (other.low - other.zero_point) * b
            return least, high * a + (other.high - other.zero_point) * b
        case AvgPool2d():
            windows = _windows(shape, layer.window(shape), layer.stride, layer.padding)
            area = max((y.stop - y.start) * (x.stop - x.start) for y, x in windows)
            return low * area, high * area
        case _:
            return min(act.low, 0), max(act.high, 0)


def accumulator_bits(layer: Layer, inputs: Sequence[tuple[Shape, ActType]]) -> int:
    """Compute the bit width of a two's complement register for :func:`accumulator_range`."""
    return signed_bits(*accumulator_range(layer, inputs))


def signed_bits(low: int, high: int) -> int:
    """Compute the bit width of the two's complement type that holds `low` and `high`.

    >>> signed_bits(-128, 127), signed_bits(-129, 0), signed_bits(0, 128), signed_bits(0, 0)
    (8, 9, 9, 1)
    """
    return max((~value if value < 0 else value).bit_length() for value in (low, high)) + 1


def _weighted_range(
    layer: Conv2d | Linear, low: int, high: int, windows: list[tuple[slice, slice]]
) -> tuple[int, int]:
    """Compute the range over all filters and `windows`, for inputs low..high without zero point."""
    weight = layer.weight.reshape(layer.weight_shape)
    positive = np.maximum(weight, 0).sum(axis=1)
    negative = np.minimum(weight, 0).sum(axis=1)
    least, most = 0, 0
    for rows, columns in windows:
        up = positive[:, rows, columns].sum(axis=(1, 2))
        down = negative[:, rows, columns].sum(axis=(1, 2))
        least = min(least, int((up * low + down * high + np.minimum(layer.bias, 0)).min()))
        most = max(most, int((up * high + down * low + np.maximum(layer.bias, 0)).max()))
    return least, most


def _windows(
    shape: Shape, kernel: tuple[int, int], stride: tuple[int, int], padding: Padding
) -> list[tuple[slice, slice]]:
    """List rows and columns of the kernel inside the image, for each window that may matter."""
    rows = _spans(shape[1], kernel[0], stride[0], padding[:2])
    columns = _spans(shape[2], kernel[1], stride[1], padding[2:])
    return [(y, x) for y in rows for x in columns]


def _spans(size: int, kernel: int, stride: int, padding: tuple[int, int]) -> list[slice]:
    """List kernel positions inside an axis; a window that is inside as a whole stands for all."""
    starts = range(-padding[0], size + padding[1] - kernel + 1, stride)
    first_inside = -padding[0] % stride
    if first_inside in starts and first_inside + kernel <= size:
        return [slice(0, kernel)]
    spans = {(max(0, -start), min(kernel, size - start)) for start in starts}
    return [slice(*span) for span in sorted(spans)]
