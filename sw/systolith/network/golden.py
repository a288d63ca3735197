"""Golden arithmetic: the exact results of an integer network, in NumPy.

Every other implementation (PyTorch in integer mode, RTL) is compared with this one by equality.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from systolith.network.errors import NetworkError
from systolith.network.graph import INPUT, IntegerNetwork, layer_problems
from systolith.network.layers import Layer
from systolith.network.numbers import IntArray
from systolith.network.tensor import Tensor

__all__ = ["apply_layer", "forward", "trace"]

BATCH = 256


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
            tensors[layer.name] = layer.compute(values, network.inputs_of(layer))
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
    return layer.compute([array.astype(np.int64) for array in arrays], inputs)
