"""Golden arithmetic: what an integer network computes, exactly, in NumPy.

Every other implementation (PyTorch in integer mode, RTL) is compared with this one by equality.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from systolith.network.accumulator import accumulator_range
from systolith.network.errors import raise_if_any
from systolith.network.graph import INPUT, IntegerNetwork, Tensor
from systolith.network.layers import (
    Add,
    AvgPool2d,
    Conv2d,
    Flatten,
    Layer,
    Linear,
    MaxPool2d,
    Padding,
)
from systolith.network.numbers import ActType, IntArray, Overflow, Requantize, Rounding

__all__ = ["apply_layer", "forward", "requantize", "trace"]

BATCH = 256
EXACT_FLOAT64 = 1 << 53


def forward(network: IntegerNetwork, images: IntArray) -> dict[str, IntArray]:
    """Run the network.

    Parameters
    ----------
    network : IntegerNetwork
        The network.
    images : array of int, shape (N, *network.input.shape)
        Values of the input type.

    Returns
    -------
    dict of str to array of int64, shape (N, ...)
        One entry for each of the network's outputs.

    Raises
    ------
    NetworkError
        If the images have another shape, or values outside the input type.
    """
    parts: list[dict[str, IntArray]] = [
        {name: tensors[name] for name in network.outputs} for tensors in _traces(network, images)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in network.outputs}


def trace(network: IntegerNetwork, images: IntArray) -> dict[str, IntArray]:
    """Run the network and keep its input and every layer's output; else as :func:`forward`."""
    parts = list(_traces(network, images))
    return {name: np.concatenate([part[name] for part in parts]) for name in network.tensors}


def _traces(network: IntegerNetwork, images: IntArray) -> Iterator[dict[str, IntArray]]:
    _check_images(network.input, images)
    for start in range(0, max(len(images), 1), BATCH):
        tensors = {INPUT: np.asarray(images[start : start + BATCH], dtype=np.int64)}
        for layer in network.layers:
            values = [tensors[name] for name in layer.inputs]
            tensors[layer.name] = apply_layer(layer, values, network.inputs_of(layer))
        yield tensors


def _check_images(wanted: Tensor, images: IntArray) -> None:
    problems = []
    if images.shape[1:] != wanted.shape:
        problems.append(f"images must have shape (N, {str(wanted.shape)[1:]}, got {images.shape}")
    if images.dtype.kind not in "iu":
        problems.append(f"images must be integers, got {images.dtype}")
    elif images.size and not (wanted.type.low <= images.min() and images.max() <= wanted.type.high):
        problems.append(
            f"images must lie in {wanted.type.low}..{wanted.type.high}, "
            f"got {images.min()}..{images.max()}"
        )
    raise_if_any(problems)


def apply_layer(layer: Layer, values: Sequence[IntArray], inputs: Sequence[Tensor]) -> IntArray:
    """Compute one layer.

    Parameters
    ----------
    layer : Layer
        The layer.
    values : sequence of array of int64, shape (N, ...)
        Its input activations.
    inputs : sequence of Tensor
        Their shapes and types.

    Returns
    -------
    array of int64, shape (N, ...)
    """
    x, zero = values[0], inputs[0].type.zero_point
    match layer:
        case Conv2d() | Linear():
            acc = _matmul_taps(layer, x - zero, _magnitude(layer, inputs))
            return requantize(acc, layer.requantize, layer.output)
        case Add():
            other = values[1] - inputs[1].type.zero_point
            acc = (x - zero) * layer.multipliers[0] + other * layer.multipliers[1]
            return requantize(acc, layer.requantize, layer.output)
        case AvgPool2d():
            kernel = layer.window(inputs[0].shape)
            acc = _windows(x - zero, kernel, layer.stride, layer.padding, 0).sum(axis=(-2, -1))
            return requantize(acc, layer.requantize, layer.output)
        case MaxPool2d():
            lowest = inputs[0].type.low
            windows = _windows(x, layer.kernel_size, layer.stride, layer.padding, lowest)
            return np.asarray(windows.max(axis=(-2, -1)))
        case Flatten():
            return x.reshape(len(x), -1)


def requantize(acc: IntArray, spec: Requantize, output: ActType) -> IntArray:
    """Bring accumulators to the output type; equation in :class:`Requantize`.

    Parameters
    ----------
    acc : array of int64, shape (N, channels, ...)
        Accumulators of at most 47 bits, so that the product with a 16-bit multiplier fits 63.
    spec : Requantize
        Multiplier and shift for each channel, rounding, overflow, clamp.
    output : ActType
        Type and zero point of the result.

    Returns
    -------
    array of int64, shape of acc

    Examples
    --------
    >>> half = Requantize(multiplier=np.array([1]), shift=np.array([1]))
    >>> requantize(np.array([[-3, -1, 1, 3, 999]]), half, ActType(bits=4, signed=True))
    array([[-1,  0,  1,  2,  7]])
    """
    channels = (1, -1) + (1,) * (acc.ndim - 2)
    shift = spec.shift.reshape(channels)
    y = acc * spec.multiplier.reshape(channels)
    if spec.rounding is Rounding.HALF_UP:
        y = y + ((1 << shift) >> 1)
    y = (y >> shift) + output.zero_point
    if spec.overflow is Overflow.SATURATE:
        y = np.clip(y, output.low, output.high)
    else:
        y = ((y - output.low) & ((1 << output.bits) - 1)) + output.low
    if spec.clamp is not None:
        y = np.clip(y, *spec.clamp)
    return np.asarray(y)


def _magnitude(layer: Layer, inputs: Sequence[Tensor]) -> int:
    bounds = accumulator_range(layer, [(tensor.shape, tensor.type) for tensor in inputs])
    return max(abs(bound) for bound in bounds)


def _matmul_taps(layer: Conv2d | Linear, x: IntArray, magnitude: int) -> IntArray:
    """Accumulate weights times centred inputs; (N, C, H, W) or (N, I)."""
    if isinstance(layer, Linear):
        return _exact_matmul(x, layer.weight.T, magnitude) + layer.bias
    windows = _windows(x, layer.kernel_size, layer.stride, layer.padding, 0)
    n, channels, ho, wo = windows.shape[:4]
    filters = len(layer.weight)
    if layer.groups == 1:
        lowered = windows.transpose(0, 2, 3, 1, 4, 5).reshape(n * ho * wo, -1)
        acc = _exact_matmul(lowered, layer.weight.reshape(filters, -1).T, magnitude)
        acc = acc.reshape(n, ho, wo, filters).transpose(0, 3, 1, 2)
    else:
        per_channel = layer.weight.reshape(channels, filters // channels, *layer.kernel_size)
        acc = np.einsum("nchwij,cmij->ncmhw", windows, per_channel).reshape(n, filters, ho, wo)
    return np.asarray(acc + layer.bias[:, None, None])


def _exact_matmul(a: IntArray, b: IntArray, magnitude: int) -> IntArray:
    """Multiply integer matrices; in float64 (BLAS, many times faster) where that is exact."""
    if magnitude < EXACT_FLOAT64:
        # Every partial sum, in whatever order BLAS adds, is an integer below 2**53.
        return np.asarray(np.matmul(a.astype(np.float64), b.astype(np.float64)).astype(np.int64))
    return np.asarray(np.matmul(a, b))


def _windows(
    x: IntArray, kernel: tuple[int, int], stride: tuple[int, int], padding: Padding, fill: int
) -> NDArray[np.int64]:
    """View all windows of (N, C, H, W) as (N, C, Ho, Wo, Kh, Kw)."""
    top, bottom, left, right = padding
    padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=fill)
    views = np.lib.stride_tricks.sliding_window_view(padded, kernel, axis=(2, 3))
    return np.asarray(views[:, :, :: stride[0], :: stride[1]])
