"""Outputs of hls4ml's layers, including layers without a tensor in the network."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from systolith.hls4ml_backend.mapping import MappedModel
from systolith.network import (
    ActType,
    Add,
    AvgPool2d,
    Conv2d,
    IntArray,
    IntegerNetwork,
    Multiply,
    Overflow,
    Requantize,
    Rounding,
    apply_layer,
)

__all__ = ["compute_layer_outputs"]

PART_BITS = 16
PARTS = 3
"""Accumulators have at most 47 bits, that is three parts of 16 bits."""


def compute_layer_outputs(
    mapped: MappedModel, tensors: Mapping[str, IntArray], wanted: Iterable[str], dtype: Any
) -> dict[str, NDArray[Any]]:
    """Compute outputs of hls4ml's layers from the tensors of the network.

    Parameters
    ----------
    mapped : MappedModel
    tensors : mapping of str to array of int64, shape (N, ...)
        Every tensor of the network.
    wanted : iterable of str
        Layers of hls4ml; layers without a recipe are left out.
    dtype : dtype
        Type of the results.

    Returns
    -------
    dict of str to array, shape (N, ...)
    """
    outputs = {}
    for name in wanted:
        recipe = mapped.recipes.get(name)
        if recipe is None:
            continue
        values, fraction = tensors[recipe.source], recipe.fraction
        if recipe.accumulators:
            values = compute_accumulators(mapped.network, recipe.source, tensors)
        for step in recipe.steps:
            values, fraction = step.apply(values, fraction)
        ordered = values.reshape(len(values), -1)[:, recipe.view.reshape(-1)]
        floats = np.ldexp(ordered.astype(np.float64), -fraction).astype(dtype)
        shaped = floats.reshape(-1, *recipe.view.shape)
        if any(recipe.padding):
            top, bottom, left, right = recipe.padding
            sides = ((top, bottom), (left, right))[-(recipe.view.ndim - 1) :]
            shaped = np.pad(shaped, ((0, 0), *sides, (0, 0)))
        outputs[name] = shaped
    return outputs


def compute_accumulators(
    network: IntegerNetwork, name: str, tensors: Mapping[str, IntArray]
) -> IntArray:
    """Compute a layer's accumulators, in parts of 16 bits."""
    layer = network[name]
    assert isinstance(layer, Conv2d | Add | Multiply | AvgPool2d)
    inputs = network.inputs_of(layer)
    values = [tensors[source] for source in layer.inputs]
    part = ActType(bits=PART_BITS, signed=False)
    total = np.zeros_like(tensors[name])
    for number in range(PARTS):
        spec = Requantize(
            multiplier=np.array([1]),
            shift=np.array([PART_BITS * number]),
            rounding=Rounding.FLOOR,
            overflow=Overflow.WRAP,
        )
        bits = apply_layer(replace(layer, requantize=spec, output=part), values, inputs)
        total |= bits << (PART_BITS * number)
    sign = 1 << (PART_BITS * PARTS - 1)
    return (total ^ sign) - sign
