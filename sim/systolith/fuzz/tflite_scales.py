"""Draw the scales of TFLite files: wide multipliers, two roundings, additions of rounded inputs."""

from dataclasses import replace

import numpy as np

from systolith.fuzz.choices import Choices
from systolith.network import (
    MAX_MULTIPLIER_BITS,
    Add,
    IntegerNetwork,
    Layer,
    Requantized,
    Rounding,
    signed_bits,
)

__all__ = ["draw_tflite_scales"]

MOST_SUM_BITS = 32
"""Widest accumulators of TFLite; with a multiplier they fit 63 bits."""
FIRST_SHIFT, LEFT_SHIFT, MOST_SHIFT = 31, 20, 62
WIDEST_INPUT = 8
"""Bits of inputs whose scaled values stay below 32 bits."""


def draw_tflite_scales(choices: Choices, network: IntegerNetwork) -> IntegerNetwork:
    """Give some layers of a network other scales, as TFLite's files have them.

    Parameters
    ----------
    choices : Choices
    network : IntegerNetwork
    """
    if not choices.chance(25):
        return network
    layers = [
        _draw_layer(choices, network, layer) if isinstance(layer, Requantized) else layer
        for layer in network.layers
    ]
    return replace(network, layers=tuple(layers))


def _draw_layer(choices: Choices, network: IntegerNetwork, layer: Requantized) -> Layer:
    inputs = network.inputs_of(layer)
    if isinstance(layer, Add) and max(tensor.type.bits for tensor in inputs) <= WIDEST_INPUT:
        layer = _draw_shifts(choices, layer)
    bits = signed_bits(*layer.accumulator_range(inputs))
    if layer.requantize.levels:
        return layer
    if bits > MOST_SUM_BITS or not choices.chance(75):
        return layer
    # Mostly scales that fill the output, and some whose second shift is 0, or that shift less.
    right = bits - layer.output.bits - choices.integer(-2, 4)
    shift = min(max(FIRST_SHIFT + right, FIRST_SHIFT - choices.integer(0, 3)), MOST_SHIFT)
    channels = len(layer.requantize.multiplier)
    multiplier = _draw_mantissas(choices, channels)
    shifts = np.minimum(shift + choices.generator().integers(0, 3, channels), MOST_SHIFT)
    negative = layer.requantize.negative
    if negative is not None:
        negative = _draw_mantissas(choices, negative.size) * np.where(negative < 0, -1, 1)
    spec = replace(
        layer.requantize,
        negative=negative,
        multiplier=multiplier,
        shift=shifts if choices.chance(50) else shifts[:1],
        offset=None if choices.chance(80) else layer.requantize.offset,
        rounding=Rounding.TFLITE if choices.chance(75) else layer.requantize.rounding,
    )
    return replace(layer, requantize=spec)


def _draw_shifts(choices: Choices, layer: Add) -> Add:
    """Draw TFLite's scales of both inputs: one is a half, the other at most that."""
    first, second = _draw_mantissas(choices, 2).tolist()
    if choices.chance(50):
        first = 1 << (MAX_MULTIPLIER_BITS - 1)
    shifts = (FIRST_SHIFT, FIRST_SHIFT + choices.integer(0, 4))
    multipliers = (first, second)
    if choices.chance(50):
        multipliers, shifts = multipliers[::-1], shifts[::-1]
    return replace(layer, multipliers=multipliers, left_shift=LEFT_SHIFT, shifts=shifts)


def _draw_mantissas(choices: Choices, count: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Draw multipliers of 31 bits; sometimes of few bits: many values are then ties."""
    low = 1 << (MAX_MULTIPLIER_BITS - 1)
    if choices.chance(30):
        return choices.generator().integers(2, 4, count) << (MAX_MULTIPLIER_BITS - 2)
    return choices.generator().integers(low, 2 * low, count)
