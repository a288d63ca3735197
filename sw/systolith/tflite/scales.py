"""Scales as TFLite's kernels compute them: multipliers of 31 bits, and ranges of activations."""

from collections.abc import Sequence
from math import floor, frexp

import numpy as np

from systolith.network import ActType, Requantize, Rounding
from systolith.tflite.errors import TfliteError
from systolith.tflite.graph import FileTensor

__all__ = ["activation_range", "quantize_multiplier", "requantize_as_tflite"]

MANTISSA_BITS = 31
LEAST_EXPONENT = -31
"""Smaller scales become 0."""
MOST_EXPONENT = 30
ACTIVATIONS = {0: "NONE", 1: "RELU", 2: "RELU_N1_TO_1", 3: "RELU6", 4: "TANH", 5: "SIGN_BIT"}


def quantize_multiplier(scale: float) -> tuple[int, int]:
    """Write a scale as ``multiplier / 2**shift`` with a multiplier of 31 bits.

    It is QuantizeMultiplier of TFLite, which stores ``31 - shift``.

    Returns
    -------
    pair of int
        Multiplier, 0 or from 2**30 to 2**31 - 1, and shift, 1..62.

    >>> quantize_multiplier(0.5), quantize_multiplier(1e-12)
    ((1073741824, 31), (0, 31))
    """
    mantissa, exponent = frexp(scale)
    multiplier = floor(mantissa * (1 << MANTISSA_BITS) + 0.5)
    if multiplier == 1 << MANTISSA_BITS:
        multiplier, exponent = multiplier // 2, exponent + 1
    if exponent < LEAST_EXPONENT or not multiplier:
        return 0, MANTISSA_BITS
    if exponent > MOST_EXPONENT:
        raise TfliteError([f"scales by {scale:g}, more than 2**{MOST_EXPONENT}"])
    return multiplier, MANTISSA_BITS - exponent


def requantize_as_tflite(scales: Sequence[float], clamp: tuple[int, int] | None) -> Requantize:
    """Make the requantization of a kernel that rounds twice, for scales of each channel."""
    pairs = [quantize_multiplier(scale) for scale in scales]
    return Requantize(
        multiplier=np.array([multiplier for multiplier, _ in pairs], dtype=np.int64),
        shift=np.array([shift for _, shift in pairs], dtype=np.int64),
        rounding=Rounding.TFLITE,
        clamp=clamp,
    )


def activation_range(activation: int, output: FileTensor, act: ActType) -> tuple[int, int] | None:
    """Give the bounds of a fused activation in integers of the output; None without bounds.

    It is CalculateActivationRangeQuantized of TFLite, which divides in float32.

    Raises
    ------
    TfliteError
        If the activation is neither NONE, RELU, RELU6 nor RELU_N1_TO_1.
    """

    def place(real: float) -> int:
        ratio = float(np.float32(real) / output.scale[0])
        away = floor(abs(ratio) + 0.5)
        return act.zero_point + (away if ratio > 0 else -away)

    match ACTIVATIONS.get(activation, str(activation)):
        case "NONE":
            return None
        case "RELU":
            low, high = place(0.0), act.high
        case "RELU6":
            low, high = place(0.0), place(6.0)
        case "RELU_N1_TO_1":
            low, high = place(-1.0), place(1.0)
        case name:
            raise TfliteError([f"has the fused activation {name}; use RELU, RELU6 or none"])
    low, high = max(low, act.low), min(high, act.high)
    return None if (low, high) == (act.low, act.high) else (low, high)
