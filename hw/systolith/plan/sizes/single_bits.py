"""Which tensors hold -1 and +1 only, so that one bit of a value says all."""

import numpy as np

from systolith.network import (
    INPUT,
    ActType,
    Concat,
    DepthToSpace,
    Flatten,
    IntegerNetwork,
    MaxPool2d,
    Pad2d,
    Requantize,
    Requantized,
    SelectChannels,
    SpaceToDepth,
    Table,
    Upsample,
)

__all__ = ["carries_signs"]

SIGNED_PAIR = ActType(bits=2, signed=True)


def carries_signs(network: IntegerNetwork, name: str) -> bool:
    """Whether a tensor has two bits and its values are -1 or +1, whatever the image.

    This follows from the parameters of the layer that makes it, or from its inputs if the layer
    only moves or selects values.
    """
    if name == INPUT or network.tensors[name].type != SIGNED_PAIR:
        return False
    layer = network[name]
    match layer:
        case Table():
            return bool((np.abs(layer.values) == 1).all())
        case MaxPool2d() | Flatten() | Upsample() | Concat() | SelectChannels():
            pass
        case DepthToSpace() | SpaceToDepth():
            pass
        case Pad2d():
            if max(layer.padding) > 0 and not layer.edge and abs(layer.fill(SIGNED_PAIR)) != 1:
                return False
        case _:
            return isinstance(layer, Requantized) and _makes_signs(layer.requantize)
    return all(carries_signs(network, source) for source in layer.inputs)


def _makes_signs(requantize: Requantize) -> bool:
    """Whether requantized values are -1 or +1.

    They are clamped to -1 and +1, and odd: an even product plus an odd offset, not shifted.
    """
    odd = requantize.offset is not None and bool((requantize.offset % 2 == 1).all())
    even = not (requantize.multiplier % 2).any() and requantize.negative is None
    return requantize.clamp == (-1, 1) and odd and even and not requantize.shift.any()
