"""Golden arithmetic: the exact results of an integer network, in NumPy.

Every other implementation (PyTorch in integer mode, RTL) is compared with this one by equality.
"""

from collections.abc import Iterator, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from systolith.network._fields import repr_of
from systolith.network.errors import NetworkError
from systolith.network.graph import INPUT, IntegerNetwork, Tensor, layer_problems
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

__all__ = ["accumulate", "apply_layer", "forward", "requantize", "trace"]

BATCH = 256
LOWERED_BYTES = 1 << 26


def forward(network: IntegerNetwork, images: IntArray) -> dict[str, IntArray]:
    """Run the network.

    Parameters
    ----------
    network : IntegerNetwork
        The network.
    images : array of int, shape (N, *network.input.shape)
        Values of the input type; any integer dtype, N may be 0.

    Returns
    -------
    dict of str to array of int64, shape (N, ...)
        One entry for each of the network's outputs.

    Raises
    ------
    NetworkError
        If the images have another shape or dtype, or values outside the input type.
    """
    parts: list[dict[str, IntArray]] = [
        {name: tensors[name] for name in network.outputs} for tensors in _traces(network, images)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in network.outputs}


def trace(network: IntegerNetwork, images: IntArray) -> dict[str, IntArray]:
    """Run the network and return its input and every layer's output, as :func:`forward` does."""
    parts = list(_traces(network, images))
    return {name: np.concatenate([part[name] for part in parts]) for name in network.tensors}


def _traces(network: IntegerNetwork, images: ArrayLike) -> Iterator[dict[str, IntArray]]:
    images = np.asarray(images)
    NetworkError.raise_if_any(_value_problems("images", images, network.input))
    for start in range(0, max(len(images), 1), BATCH):
        tensors = {INPUT: images[start : start + BATCH].astype(np.int64)}
        for layer in network.layers:
            values = [tensors[name] for name in layer.inputs]
            tensors[layer.name] = _compute(layer, values, network.inputs_of(layer))
        yield tensors


def _value_problems(what: str, values: NDArray[Any], wanted: Tensor) -> Iterator[str]:
    if values.ndim != len(wanted.shape) + 1 or values.shape[1:] != wanted.shape:
        axes = ", ".join(map(str, wanted.shape))
        yield f"{what} must have shape (N, {axes}), got {values.shape}"
    if values.dtype.kind not in "iu":
        yield f"{what} must be integers, got {values.dtype}"
    elif values.size:
        least, most = values.min(), values.max()
        if least < wanted.type.low or most > wanted.type.high:
            yield f"{what} must lie in {wanted.type.low}..{wanted.type.high}, got {least}..{most}"


def apply_layer(layer: Layer, values: Sequence[IntArray], inputs: Sequence[Tensor]) -> IntArray:
    """Compute one layer.

    Parameters
    ----------
    layer : Layer
        The layer.
    values : sequence of array of int, shape (N, ...)
        Input activations: one array for each input, with the same N.
    inputs : sequence of Tensor
        Shapes and types of the inputs.

    Returns
    -------
    array of int64, shape (N, ...)

    Raises
    ------
    NetworkError
        If the layer does not fit `inputs`, or `values` do not.
    """
    problems = layer_problems(layer, inputs)
    arrays = [np.asarray(array) for array in values]
    if len(arrays) != len(layer.inputs):
        problems.append(f"reads {len(layer.inputs)} tensors, got {len(arrays)} arrays")
    elif len({len(array) for array in arrays if array.ndim}) > 1:
        problems.append(f"reads batches of equal size, got {[len(array) for array in arrays]}")
    for name, array, tensor in zip(layer.inputs, arrays, inputs, strict=False):
        problems += _value_problems(f"values of '{name}'", array, tensor)
    NetworkError.raise_if_any(f"layer '{layer.name}': {problem}" for problem in problems)
    return _compute(layer, [array.astype(np.int64) for array in arrays], inputs)


def _compute(layer: Layer, values: Sequence[IntArray], inputs: Sequence[Tensor]) -> IntArray:
    """Compute a layer without checks."""
    x = values[0]
    match layer:
        case Conv2d() | Linear() | Add() | AvgPool2d():
            return requantize(accumulate(layer, values, inputs), layer.requantize, layer.output)
        case MaxPool2d():
            lowest = inputs[0].type.low
            windows = _windows(x, layer.kernel_size, layer.stride, layer.padding, lowest)
            return np.asarray(windows.max(axis=(-2, -1)))
        case Flatten():
            return x.reshape(len(x), prod(x.shape[1:]))


def accumulate(
    layer: Conv2d | Linear | Add | AvgPool2d, values: Sequence[IntArray], inputs: Sequence[Tensor]
) -> IntArray:
    """Compute the accumulators of a layer, before :func:`requantize`.

    Parameters
    ----------
    layer : Conv2d, Linear, Add or AvgPool2d
        Must fit `inputs`, which is not checked.
    values : sequence of array of int64, shape (N, ...)
        Input activations: one array for each input, with the same N.
    inputs : sequence of Tensor
        Shapes and types of the inputs.

    Returns
    -------
    array of int64, shape (N, channels, ...)
    """
    x = values[0] - inputs[0].type.zero_point
    match layer:
        case Conv2d():
            return _conv(layer, x)
        case Linear():
            return _linear(layer, x)
        case Add():
            other = values[1] - inputs[1].type.zero_point
            return np.asarray(x * layer.multipliers[0] + other * layer.multipliers[1])
        case AvgPool2d():
            kernel = layer.window(inputs[0].shape)
            windows = _windows(x, kernel, layer.stride, layer.padding, 0)
            return np.asarray(windows.sum(axis=(-2, -1)))


def requantize(acc: IntArray, spec: Requantize, output: ActType) -> IntArray:
    """Convert accumulators to the output type; see :class:`Requantize` for the equation.

    Parameters
    ----------
    acc : array of int64, shape (N, channels, ...)
        Accumulators of at most 47 bits. Accumulator and multiplier (at most 24 bits) together have
        at most 63 bits, so that int64 holds the product.
    spec : Requantize
        Multiplier, shift and offset for each channel, rounding, overflow, clamp.
    output : ActType
        Type and zero point of the result.

    Returns
    -------
    array of int64, shape of acc

    Raises
    ------
    NetworkError
        If `acc` is not an array of integers, or `spec` has another number of channels.

    Examples
    --------
    >>> half = Requantize(multiplier=np.array([1]), shift=np.array([1]))
    >>> requantize(np.array([[-3, -1, 1, 3, 999]]), half, ActType(bits=4, signed=True))
    array([[-1,  0,  1,  2,  7]])
    """
    if acc.ndim < 2 or acc.dtype.kind not in "iu":
        NetworkError.raise_if_any(
            [f"accumulators must be integers (N, channels, ...), got {repr_of(acc)}"]
        )
    NetworkError.raise_if_any(spec.problems(acc.shape[1], output))
    channels = (1, -1) + (1,) * (acc.ndim - 2)
    shift = spec.shift.reshape(channels)
    product = acc.astype(np.int64, copy=False) * spec.multiplier.reshape(channels)
    if spec.offset is not None:
        product = product + spec.offset.reshape(channels)
    y = _shift_right(product, shift, spec.rounding) + output.zero_point
    if spec.overflow is Overflow.SATURATE:
        y = np.clip(y, output.low, output.high)
    else:
        y = ((y - output.low) & ((1 << output.bits) - 1)) + output.low
    if spec.clamp is not None:
        y = np.clip(y, *spec.clamp)
    return np.asarray(y)


def _shift_right(product: IntArray, shift: IntArray, rounding: Rounding) -> IntArray:
    """Divide by ``2**shift`` and round."""
    unit = np.int64(1) << shift
    match rounding:
        case Rounding.FLOOR:
            return np.asarray(product >> shift)
        case Rounding.HALF_UP:
            return np.asarray((product + (unit >> 1)) >> shift)
        case Rounding.HALF_EVEN:
            nearest = product + (unit >> 1)
            tied = (nearest & (unit - 1) == 0) & (shift > 0)
            return np.asarray((nearest >> shift) & ~tied.astype(np.int64))


def _linear(layer: Linear, x: IntArray) -> IntArray:
    """Accumulate weights times centred inputs (N, I)."""
    return _exact_matmul(x.astype(np.float64), layer.weight) + layer.bias


def _conv(layer: Conv2d, x: IntArray) -> IntArray:
    """Accumulate weights times centred inputs (N, C, H, W)."""
    windows = _windows(x, layer.kernel_size, layer.stride, layer.padding, 0)
    n, channels, ho, wo = windows.shape[:4]
    filters = len(layer.weight)
    if layer.groups == 1:
        weight = layer.weight.reshape(filters, -1)
        acc = np.empty((n, filters, ho, wo), dtype=np.int64)
        # A few images at a time: all lowered windows of a batch would take gigabytes.
        step = max(1, LOWERED_BYTES // (8 * ho * wo * weight.shape[1]))
        for start in range(0, n, step):
            part = windows[start : start + step].transpose(0, 2, 3, 1, 4, 5).astype(np.float64)
            lowered = part.reshape(len(part) * ho * wo, weight.shape[1])
            product = _exact_matmul(lowered, weight).reshape(len(part), ho, wo, filters)
            acc[start : start + step] = product.transpose(0, 3, 1, 2)
    else:
        per_channel = layer.weight.reshape(channels, filters // channels, *layer.kernel_size)
        acc = np.einsum("nchwij,cmij->ncmhw", windows, per_channel).reshape(n, filters, ho, wo)
    return np.asarray(acc + layer.bias[:, None, None])


def _exact_matmul(a: NDArray[np.float64], weight: IntArray) -> IntArray:
    """Multiply by transposed weights in float64, where BLAS is much faster than with integers.

    The result is exact: in any order of addition, every partial sum is an integer of at most 47
    bits, which the network has checked, and float64 holds 53 bits.
    """
    return np.asarray((a @ weight.T.astype(np.float64)).astype(np.int64))


def _windows(
    x: IntArray, kernel: tuple[int, int], stride: tuple[int, int], padding: Padding, fill: int
) -> NDArray[np.int64]:
    """View all windows of (N, C, H, W) as (N, C, Ho, Wo, Kh, Kw)."""
    top, bottom, left, right = padding
    padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=fill)
    views = np.lib.stride_tricks.sliding_window_view(padded, kernel, axis=(2, 3))
    return np.asarray(views[:, :, :: stride[0], :: stride[1]])
