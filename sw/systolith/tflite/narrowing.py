"""Narrower multipliers on request, with the greatest difference that they make in each layer."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from systolith.network import (
    Add,
    AvgPool2d,
    Conv2d,
    IntArray,
    IntegerNetwork,
    Layer,
    Linear,
    Requantize,
    Rounding,
    Tensor,
    requantize,
)

__all__ = ["NarrowedNetwork", "narrow_multipliers"]

NEIGHBOURS = np.array([-1, 0, 1])


@dataclass(frozen=True, slots=True, kw_only=True)
class NarrowedNetwork:
    """A network with narrower multipliers.

    Attributes
    ----------
    network : IntegerNetwork
    units : dict of str to int
        Layers with other multipliers, and by how much a value of the layer can differ for equal
        inputs: the greatest difference over every accumulator, in units of the output.
    """

    network: IntegerNetwork
    units: Mapping[str, int]


def narrow_multipliers(network: IntegerNetwork, bits: int) -> NarrowedNetwork:
    """Round the multipliers of a network to fewer bits.

    A multiplier loses its lowest bits and the shift as many; the result is rounded once, ties up.

    Parameters
    ----------
    network : IntegerNetwork
    bits : int
        Of each multiplier, at most.
    """
    layers: list[Layer] = []
    units: dict[str, int] = {}
    for layer in network.layers:
        inputs = [network.tensors[name] for name in layer.inputs]
        narrower = _narrow(layer, bits)
        if narrower is None:
            layers.append(layer)
            continue
        assert isinstance(layer, Conv2d | Linear | AvgPool2d | Add)
        layers.append(narrower)
        units[layer.name] = (
            _compare_pairs(layer, narrower, inputs)
            if isinstance(layer, Add)
            else _compare_steps(layer, narrower, inputs)
        )
    narrowed = IntegerNetwork(
        name=network.name, input=network.input, layers=tuple(layers), outputs=network.outputs
    )
    return NarrowedNetwork(network=narrowed, units=units)


def _narrow(layer: Layer, bits: int) -> Conv2d | Linear | AvgPool2d | Add | None:
    """Give a layer with narrower multipliers; None if all are narrow already."""
    if not isinstance(layer, Conv2d | Linear | AvgPool2d | Add):
        return None
    spec = narrow_requantization(layer.requantize, bits)
    if not isinstance(layer, Add) or layer.shifts is None:
        return None if spec is layer.requantize else replace(layer, requantize=spec)
    pairs = [
        _round_to(multiplier, shift, bits)
        for multiplier, shift in zip(layer.multipliers, layer.shifts, strict=True)
    ]
    (one, first), (other, second) = pairs
    if spec is layer.requantize and (one, other) == layer.multipliers:
        return None
    return replace(layer, requantize=spec, multipliers=(one, other), shifts=(first, second))


def narrow_requantization(spec: Requantize, bits: int) -> Requantize:
    """Round the multipliers of a requantization to fewer bits; the same object if they have them.

    Its rounding is to nearest with ties up, unless nothing changes.
    """
    if spec.negative is not None or int(spec.multiplier.max()).bit_length() <= bits:
        return spec
    multiplier, shift = np.broadcast_arrays(spec.multiplier, spec.shift)
    pairs = [_round_to(int(one), int(by), bits) for one, by in zip(multiplier, shift, strict=True)]
    offset = None
    if spec.offset is not None:
        drops = [int(by) - now for by, (_, now) in zip(shift, pairs, strict=True)]
        given = np.broadcast_to(spec.offset, multiplier.shape).tolist()
        pieces = zip(given, drops, strict=True)
        offset = np.array([(one + (1 << by >> 1)) >> by for one, by in pieces])
    return replace(
        spec,
        multiplier=np.array([one for one, _ in pairs]),
        shift=np.array([by for _, by in pairs]),
        offset=offset,
        rounding=Rounding.HALF_UP,
    )


def _round_to(multiplier: int, shift: int, bits: int) -> tuple[int, int]:
    """Round ``multiplier / 2**shift`` to a multiplier of some bits.

    >>> _round_to(0x7FFFFFFF, 40, 16), _round_to(5, 3, 16)
    ((32768, 24), (5, 3))
    """
    drop = max(min(multiplier.bit_length() - bits, shift), 0)
    rounded = (multiplier + (1 << drop >> 1)) >> drop
    if rounded.bit_length() > bits and shift > drop:
        rounded, drop = rounded >> 1, drop + 1
    return rounded, shift - drop


def _compare_steps(layer: Conv2d | Linear | AvgPool2d, other: Layer, inputs: list[Tensor]) -> int:
    """Give the greatest difference over all accumulators: between steps both are constant."""
    assert isinstance(other, Conv2d | Linear | AvgPool2d)
    low, high = layer.accumulator_range(inputs)
    channels = layer.output_shape([tensor.shape for tensor in inputs])[0]
    places = np.concatenate(
        [
            np.array([[low], [high]]).repeat(channels, axis=1),
            *_steps(layer, channels),
            *_steps(other, channels),
        ]
    )
    accs = np.clip(places, low, high)
    first, second = (requantize(accs, one.requantize, one.output) for one in (layer, other))
    return int(np.abs(first - second).max())


def _steps(layer: Conv2d | Linear | AvgPool2d, channels: int) -> Iterator[IntArray]:
    """Yield accumulators on both sides of every step of each channel, (places, channels)."""
    spec, act = layer.requantize, layer.output
    levels = np.arange(act.low, act.high + 2) - act.zero_point
    rows = np.broadcast_to(spec.multiplier, channels), np.broadcast_to(spec.shift, channels)
    offsets = np.broadcast_to(0 if spec.offset is None else spec.offset, channels)
    columns = [
        _places(levels, *(int(value) for value in row)) for row in zip(*rows, offsets, strict=True)
    ]
    steps = np.stack(columns, axis=1)
    yield from (steps + by for by in NEIGHBOURS)


def _places(levels: IntArray, multiplier: int, shift: int, offset: int) -> IntArray:
    """Give the accumulators that are scaled to half below each level."""
    if not multiplier:
        return np.zeros_like(levels)
    limit = (1 << 46) - 1
    return np.array(
        [
            max(min((((2 * level - 1) << shift) // 2 - offset) // multiplier, limit), -limit)
            for level in levels.tolist()
        ]
    )


def _compare_pairs(layer: Add, other: Layer, inputs: list[Tensor]) -> int:
    """Give the greatest difference of two additions over all pairs of inputs."""
    first, second = (np.arange(tensor.type.low, tensor.type.high + 1) for tensor in inputs)
    grid = np.meshgrid(first, second)
    pairs = [values.reshape(-1, 1) for values in grid]
    results = []
    for one in (layer, other):
        assert isinstance(one, Add)
        sums = one.accumulate(pairs, inputs)
        results.append(requantize(sums, one.requantize, one.output))
    return int(np.abs(results[0] - results[1]).max())
