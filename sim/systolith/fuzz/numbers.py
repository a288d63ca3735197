"""Integer types, requantizations and weights over their whole ranges."""

import numpy as np

from systolith.fuzz.choices import Choices
from systolith.network import ActType, IntArray, Overflow, Requantize, Rounding

__all__ = ["draw_act_type", "draw_bias", "draw_requantize", "draw_weights"]

BIAS_BITS, MOST_SHIFT, MOST_MULTIPLIER = 40, 47, (1 << 16) - 1
TIED_SHIFT, TIED_MULTIPLIER = 6, 9
"""Of scales so coarse that many a value lies half way between two integers."""


def draw_act_type(choices: Choices) -> ActType:
    """Choose any type, mostly of at most 8 bits, and its zero point."""
    signed = choices.chance(50)
    bits = choices.integer(2 if signed else 1, 16 if choices.chance(20) else 8)
    plain = ActType(bits=bits, signed=signed)
    zero = choices.integer(plain.low, plain.high) if choices.chance(60) else 0
    return ActType(bits=bits, signed=signed, zero_point=zero)


def draw_requantize(choices: Choices, channels: int, output: ActType, bits: int) -> Requantize:
    """Choose a scale that leaves something of sums `bits` wide or so, or any, or one of ties."""
    rng = choices.generator()
    shift = choices.integer(bits + 2, bits + 14)
    spread = 3 if choices.chance(50) else 0
    low, high = max(shift - spread, 0), min(shift + spread, MOST_SHIFT)
    most_multiplier = MOST_MULTIPLIER
    match choices.integer(0, 9):
        case 6 | 7 | 8:
            low, high, most_multiplier = 0, TIED_SHIFT, TIED_MULTIPLIER
        case 9:
            low, high = 0, MOST_SHIFT
    power_of_two = not choices.chance(75)
    multipliers = channels if choices.chance(70) else 1
    drawn = rng.integers(0, most_multiplier + 1, multipliers)
    shifts = rng.integers(low, high + 1, channels if spread else 1)
    offset, raised = None, 0
    if choices.chance(35):
        # Some units of the output; zeros at the end of multipliers leave room for shares of one.
        offset = rng.integers(-9, 10, channels) << rng.integers(0, high + 1)
        offset += rng.integers(-9, 10, channels)
        raised = choices.integer(0, 7)
        shifts = np.minimum(shifts + raised, MOST_SHIFT)
    return Requantize(
        multiplier=(np.ones(1, int) if power_of_two else drawn) << raised,
        shift=shifts,
        offset=offset,
        rounding=choices.one_of(list(Rounding)),
        overflow=choices.one_of(list(Overflow)),
        clamp=_draw_clamp(choices, output) if choices.chance(40) else None,
    )


def _draw_clamp(choices: Choices, output: ActType) -> tuple[int, int]:
    """Choose a ReLU, or any bounds."""
    if choices.chance(70):
        return output.zero_point, output.high
    low = choices.integer(output.low, output.high)
    return low, choices.integer(low, output.high)


def draw_weights(choices: Choices, shape: tuple[int, ...], bits: int) -> IntArray:
    """Choose weights over their whole range, or now and then its ends only."""
    rng = choices.generator()
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    if bits == 1:
        return rng.choice([-1, 1], shape)
    if choices.chance(10):
        return rng.choice([low, high], shape)
    return rng.integers(low, high + 1, shape)


def draw_bias(choices: Choices, filters: int) -> IntArray:
    """Choose small biases, or now and then any."""
    most = (1 << (BIAS_BITS - 1)) - 1 if choices.chance(5) else 999
    return choices.generator().integers(-most - 1, most + 1, filters)
