"""What handlers of nodes expect their inputs to be."""

from dataclasses import replace

import numpy as np

from systolith.exchange.building import Building
from systolith.exchange.errors import ExchangeError
from systolith.exchange.quantizer import FloatArray
from systolith.exchange.values import (
    Absent,
    Activation,
    Constant,
    Images,
    Integers,
    Pending,
    QuantizedConstant,
    Value,
)

__all__ = ["activation_of", "constant_of", "integers_of", "is_constant", "straight"]


def activation_of(value: Value, made: Building) -> Activation:
    """See a value as what a layer gives, quantized; the images as the network's input.

    Raises
    ------
    ExchangeError
        If it is not quantized, or no activation.
    """
    match value:
        case Activation():
            return value
        case Pending():
            return made.whole(value)
        case Images():
            return made.take(value)
        case Integers():
            raise ExchangeError(["reads integers: put their DequantizeLinear before"])
        case _:
            raise ExchangeError(["works on a constant; an activation is supported"])


def straight(value: Value, made: Building) -> Activation:
    """See a value as what a layer gives, in the layer's own order: (C, H, W) or (features,).

    Raises
    ------
    ExchangeError
        If the file ordered or shaped it in another way.
    """
    x = activation_of(value, made)
    if x.places is not None and made.lenient:
        # Something stands in for what a problem was reported about; its order is made up.
        return replace(x, places=None, tensor=replace(x.tensor, shape=x.places.shape))
    if x.places is not None:
        raise ExchangeError(
            [
                (
                    f"reads shape {x.places.shape}, which is {x.tensor.shape} reordered; the "
                    "layer's "
                    "own order, channels first, is supported: move the Transpose or Reshape "
                    "after it"
                )
            ]
        )
    return x


def is_constant(value: Value) -> bool:
    """Whether it is known when the file is read."""
    return isinstance(value, Constant | QuantizedConstant)


def constant_of(value: Value, what: str, *, finite: bool = True) -> FloatArray:
    """What constants stand for; numbers, unless `finite` is false.

    Raises
    ------
    ExchangeError
        If `what` is computed from the images, left out, or contains infinity or NaN.
    """
    match value:
        case Constant() if value.values.dtype.kind in "OSU":
            raise ExchangeError([f"has {what} of type {value.values.dtype}; numbers are supported"])
        case Constant():
            found = np.asarray(value.values.astype(np.float64))
        case QuantizedConstant():
            found = value.real
        case Absent():
            raise ExchangeError([f"leaves out its {what}, which must be given as constants"])
        case _:
            raise ExchangeError(
                [f"has {what} that the model computes; constants are supported: fold them"]
            )
    if finite and not np.isfinite(found).all():
        raise ExchangeError([f"has {what} that are infinite or no numbers; numbers are supported"])
    return found


def integers_of(value: Value, what: str) -> list[int]:
    """Whole numbers, such as a shape.

    Raises
    ------
    ExchangeError
        If they are no constants.
    """
    return [int(number) for number in constant_of(value, what).reshape(-1)]
