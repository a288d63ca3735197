"""Real scales and offsets for the float graph of an exported network."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import isfinite

import numpy as np

from systolith.exchange.errors import ExchangeError
from systolith.exchange.values.quantizer import FloatArray
from systolith.exchange.values.thresholds import Staircase
from systolith.network import (
    INPUT,
    Add,
    ArgMax,
    AvgPool2d,
    Concat,
    Conv2d,
    DepthToSpace,
    Flatten,
    IntArray,
    IntegerNetwork,
    Linear,
    MaxPool2d,
    Multiply,
    Pad2d,
    Requantize,
    Requantized,
    Rounding,
    SelectChannels,
    SpaceToDepth,
    Table,
    Upsample,
)

__all__ = [
    "channel_factor",
    "channel_offset",
    "channel_slope",
    "choose_offsets",
    "choose_scales",
    "has_ties",
    "is_power_of_two",
]


@dataclass(slots=True)
class _ScaleRelations:
    """Relations between scales of tensors: each scale is a factor times that of a root."""

    root: dict[str, str]
    factor: dict[str, Fraction]

    def relate(self, a: str, b: str, ratio: Fraction) -> None:
        """Let the scale of `b` be `ratio` times that of `a`, unless they are already related."""
        if self.root[a] == self.root[b]:
            return
        moved, onto = self.root[b], self.root[a]
        by = self.factor[a] * ratio / self.factor[b]
        for name, root in self.root.items():
            if root == moved:
                self.root[name] = onto
                self.factor[name] *= by


def choose_scales(network: IntegerNetwork, input_scale: float = 1.0) -> Mapping[str, Fraction]:
    """Choose the real value of one unit of each tensor.

    Layers with weights and products can have any scale; pools and additions cannot. If branches
    require several scales, the first one wins and the others need a multiplication.

    Parameters
    ----------
    network : IntegerNetwork
    input_scale : float
        Scale of the network's input.

    Returns
    -------
    dict of str to Fraction
        By tensor, ``"input"`` included.

    Raises
    ------
    ExchangeError
        If `input_scale` is not positive.
    """
    if not (isfinite(input_scale) and input_scale > 0):
        raise ExchangeError.of(f"input_scale must be a positive number, got {input_scale:g}")
    names = list(network.tensors)
    relations = _ScaleRelations(
        root={name: name for name in names}, factor=dict.fromkeys(names, Fraction(1))
    )
    for layer in network.layers:
        match layer:
            case Add():
                a, b = layer.inputs
                ratio = Fraction(layer.multipliers[1], layer.multipliers[0])
                relations.relate(a, b, ratio)
                unit = Fraction(1, layer.multipliers[0])
                relations.relate(a, layer.name, unit / channel_factor(layer.requantize))
            case AvgPool2d():
                divisor = layer.divisor(network.tensors[layer.input].shape)
                relations.relate(
                    layer.input, layer.name, 1 / (divisor * channel_factor(layer.requantize))
                )
            case (
                MaxPool2d()
                | Pad2d()
                | Upsample()
                | Flatten()
                | Concat()
                | SelectChannels()
                | DepthToSpace()
                | SpaceToDepth()
            ):
                for source in layer.inputs:
                    relations.relate(source, layer.name, Fraction(1))
            case Conv2d() | Linear() | Table() | Multiply() | ArgMax():
                pass
    at_input = Fraction(input_scale) / relations.factor[INPUT]
    return {
        name: relations.factor[name]
        * (at_input if relations.root[name] == relations.root[INPUT] else 1)
        for name in names
    }


def channel_offset(spec: Requantize, channel: int = 0) -> Fraction:
    """Give the offset of a channel, in units of the output."""
    offset = 0 if spec.offset is None else int(spec.offset[channel % spec.offset.size])
    return Fraction(offset, 1 << int(spec.shift[channel % spec.shift.size]))


def channel_factor(spec: Requantize, channel: int = 0) -> Fraction:
    """Give the factor of a channel's accumulators; that of multiplier 1 if they are always 0."""
    multiplier = int(spec.multiplier[channel % spec.multiplier.size])
    return Fraction(multiplier or 1, 1 << int(spec.shift[channel % spec.shift.size]))


def channel_slope(spec: Requantize, channel: int = 0) -> Fraction:
    """Give the factor of a channel's negative results; 1 without slopes."""
    if spec.negative is None:
        return Fraction(1)
    multiplier = int(spec.multiplier[channel % spec.multiplier.size])
    return Fraction(int(spec.negative[channel % spec.negative.size]), multiplier or 1)


def is_power_of_two(number: Fraction) -> bool:
    """Whether a positive number is a power of two, so that float32 multiplies by it exactly.

    >>> is_power_of_two(Fraction(1, 8)), is_power_of_two(Fraction(3, 8))
    (True, False)
    """
    return number.numerator.bit_count() == number.denominator.bit_count() == 1


def has_ties(network: IntegerNetwork, layer: Requantized) -> bool:
    """Whether a sum can lie exactly between two outputs."""
    bounds = layer.accumulator_range(network.inputs_of(layer))
    largest = max(map(abs, bounds))
    channels = range(network.tensors[layer.name].shape[0])
    spec = layer.requantize
    factors = {channel_factor(spec, channel) for channel in channels}
    factors |= {
        abs(channel_factor(spec, channel) * channel_slope(spec, channel)) for channel in channels
    }
    # For a fraction in lowest terms over 2**s, multiples of 2**(s-1) give halves.
    return any(factor.denominator > 1 and largest >= factor.denominator // 2 for factor in factors)


def choose_offsets(
    network: IntegerNetwork, layer: Requantized
) -> tuple[FloatArray, Rounding] | None:
    """Choose offsets of a layer so that errors of float32 do not change its results.

    Parameters
    ----------
    network : IntegerNetwork
    layer : Layer
        Without factors of negative sums, if it has no offsets.

    Returns
    -------
    tuple of array of float64, shape (channels,), and Rounding, or None
        Offsets in units of the output, and the rounding of the sum. The layer's own offsets if no
        others give the same integers; None if it has none then.
    """
    spec = layer.requantize
    channels = network.tensors[layer.name].shape[0]
    given = np.zeros(1, np.int64) if spec.offset is None else spec.offset
    multiplier, shift, offset = (
        np.broadcast_to(parameter, channels) for parameter in (spec.multiplier, spec.shift, given)
    )
    literal = (
        None
        if spec.offset is None
        else (np.ldexp(offset.astype(np.float64), -shift), spec.rounding)
    )
    stairs = _staircase(network, layer, multiplier, shift, offset)
    way = Rounding.HALF_UP if spec.rounding.to_nearest else Rounding.FLOOR
    bounds = None if stairs is None else stairs.offsets(multiplier, shift, way)
    if bounds is None or (bounds[0] > bounds[1]).any():
        return literal
    # Every number from the first bound to the second plus 1 gives the same integers.
    near = multiplier // 2 + 1
    least = np.maximum(bounds[0], offset - near)
    most = np.minimum(bounds[1] + 1, offset + near)
    middle = least.astype(np.float64) / 2 + most.astype(np.float64) / 2
    if way is Rounding.HALF_UP:
        # Without a shift nothing is rounded here, but the file rounds, and half a unit is added.
        middle = np.where(shift == 0, middle - 0.5, middle)
    # Then no sum is a tie, so any rounding of ties is right.
    return np.ldexp(middle, -shift), Rounding.HALF_EVEN if way is Rounding.HALF_UP else way


def _staircase(
    network: IntegerNetwork,
    layer: Requantized,
    multiplier: IntArray,
    shift: IntArray,
    offset: IntArray,
) -> Staircase | None:
    """Compute the layer's staircase, biases included; None if numbers are too large."""
    spec, act = layer.requantize, layer.output
    least, most = spec.clamp or (act.low, act.high)
    levels = np.arange(least, most, dtype=np.int64) + 1 - act.zero_point
    low, high = layer.accumulator_range(network.inputs_of(layer))
    if levels.size == 0 or max(-low, high) * int(multiplier.max()) >= 1 << 60:
        return None
    if int(shift.max()) + 17 > 60 or np.abs(offset).max() >= 1 << 60:
        return None
    by = shift[:, None]
    half = (np.int64(1) << by) >> 1 if spec.rounding.to_nearest else np.zeros_like(by)
    down = (levels % 2 == 1) & (by > 0) & (spec.rounding is Rounding.HALF_EVEN)
    wanted = (levels << by) - half + down - offset[:, None]
    reached = np.where(wanted <= 0, low, high + 1)
    first = np.where(
        multiplier[:, None] > 0, -(-wanted // np.maximum(multiplier, 1)[:, None]), reached
    )
    return Staircase(levels=levels, first=first.clip(low, high + 1), low=low, high=high)
