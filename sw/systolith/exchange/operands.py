"""What handlers of nodes expect their inputs to be."""

import numpy as np

from systolith.exchange.errors import ExchangeError
from systolith.exchange.values import (
    Activation,
    Constant,
    FloatArray,
    Images,
    Pending,
    QuantizedConstant,
    Value,
)

__all__ = [
    "activation_of",
    "constant_of",
    "per_channel",
]


def activation_of(value: Value) -> Activation:
    """See a value as what a layer gives, quantized."""
    match value:
        case Activation():
            return value
        case Pending():
            raise ExchangeError(
                [
                    (
                        f"reads '{value.name}' without its being quantized: put a quantizer "
                        "(Quant, or QuantizeLinear and DequantizeLinear) between"
                    )
                ]
            )
        case Images():
            raise ExchangeError(["reads the model's float input: put a quantizer before"])
        case _:
            raise ExchangeError(["works on a constant"])


def constant_of(value: Constant | QuantizedConstant) -> FloatArray:
    """What constants stand for."""
    return value.real if isinstance(value, QuantizedConstant) else value.values.astype(np.float64)


def per_channel(values: FloatArray, axes: int) -> FloatArray:
    """Constants for images or vectors as an array (channels,) or (1,)."""
    shape = (1,) * (1 + axes - values.ndim) + values.shape
    if len(shape) != 1 + axes or any(size != 1 for place, size in enumerate(shape) if place != 1):
        raise ExchangeError(
            [f"has constants of shape {values.shape}; one, or one for each channel, is supported"]
        )
    return values.reshape(-1)
