"""Make the activations and weights of a drawn network single bits."""

from dataclasses import replace

import numpy as np

from systolith.fuzz.choices import Choices
from systolith.network import (
    INPUT,
    ActType,
    Add,
    Concat,
    Conv2d,
    Flatten,
    IntegerNetwork,
    Layer,
    Linear,
    Multiply,
    Pad2d,
    Requantize,
    Requantized,
    Table,
    Tensor,
)

__all__ = ["draw_single_bits"]

SINGLE_BITS = 10
"""Percentage of networks whose values are single bits."""
SIGNED_PAIR = ActType(bits=2, signed=True)
MOST_OFFSET = 9


def draw_single_bits(choices: Choices, network: IntegerNetwork, most_layers: int) -> IntegerNetwork:
    """Sometimes give all layers the same single bits: 0 and 1, or -1 and +1 in two bits.

    Weights are -1 and +1, in the same patterns. A table makes signs of the input, if there
    may be one more of at most `most_layers` layers, not counting flattenings.
    """
    if not choices.chance(SINGLE_BITS):
        return network
    rng = choices.generator()
    signs = choices.chance(75)
    act = SIGNED_PAIR
    if not signs:
        act = ActType(bits=1, signed=False, zero_point=choices.integer(0, 1))
    layers: list[Layer] = []
    types, source = {INPUT: act}, INPUT
    count = sum(not isinstance(layer, Flatten) for layer in network.layers)
    if signs and count < most_layers:
        source = f"{network.layers[0].name}_signs"
        values = rng.choice([-1, 1], 1 << act.bits)
        layers.append(Table(name=source, input=INPUT, values=values, output=act))
        types[source] = act
    for layer in network.layers:
        layer = _read_instead(layer, source)
        if isinstance(layer, Conv2d | Linear):
            weight = rng.choice([-1, 1], layer.weight.shape)
            kept = weight if layer.mask is None else weight * layer.mask
            layer = replace(layer, weight=kept, weight_bits=1, bias=layer.bias % 9 - 4)
        if isinstance(layer, Requantized):
            layer = replace(layer, output=act, requantize=_draw_bit(rng, signs))
        if isinstance(layer, Table):
            values = rng.choice([-1, 1] if signs else [0, 1], 1 << types[layer.input].bits)
            layer = replace(layer, values=values, output=act)
        if isinstance(layer, Pad2d) and layer.value is not None:
            layer = replace(layer, value=int(rng.integers(act.low, 2)))
        layers.append(layer)
        types[layer.name] = layer.output_type([types[name] for name in layer.inputs])
    return replace(network, input=Tensor(network.input.shape, act), layers=tuple(layers))


def _read_instead(layer: Layer, source: str) -> Layer:
    """Let a layer that reads the network's input read `source`."""
    inputs = tuple(source if name == INPUT else name for name in layer.inputs)
    if isinstance(layer, Concat):
        return replace(layer, inputs=inputs)
    if isinstance(layer, Add | Multiply):
        first, second = inputs
        return replace(layer, inputs=(first, second))
    return replace(layer, input=inputs[0])


def _draw_bit(rng: np.random.Generator, signs: bool) -> Requantize:
    """Draw a comparison of sums with a number; signs are odd numbers clamped to -1 and +1."""
    one, none = np.ones(1, dtype=np.int64), np.zeros(1, dtype=np.int64)
    offset = rng.integers(-MOST_OFFSET, MOST_OFFSET + 1, 1)
    if signs:
        return Requantize(multiplier=2 * one, shift=none, offset=2 * offset + 1, clamp=(-1, 1))
    return Requantize(multiplier=one, shift=none, offset=offset)
