"""A network whose requantizers have narrower multipliers, to see whether that would fit."""

from dataclasses import replace

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
)

__all__ = ["ONE_MULTIPLIER_BITS", "narrowed"]

ONE_MULTIPLIER_BITS = 18
"""Wider multipliers take two of the device's, as these are 18 bits wide."""


def narrowed(network: IntegerNetwork) -> IntegerNetwork | None:
    """Round multipliers of requantizers to 18 bits; None if all are as narrow already.

    It takes the hardware that an import with narrower multipliers does, and computes something
    else: it is for planning only.
    """
    layers = tuple(_narrower(layer) for layer in network.layers)
    if all(new is old for new, old in zip(layers, network.layers, strict=True)):
        return None
    return replace(network, layers=layers)


def _narrower(layer: Layer) -> Layer:
    if not isinstance(layer, Add | AvgPool2d | Conv2d | Linear):
        return layer
    spec = layer.requantize
    surplus = _surplus(spec.multiplier, spec.shift)
    if not surplus.any():
        return layer
    shift = np.broadcast_to(spec.shift, surplus.shape) - surplus
    offset = None if spec.offset is None else spec.offset >> surplus
    return replace(
        layer,
        requantize=Requantize(
            multiplier=spec.multiplier >> surplus,
            shift=shift,
            offset=offset,
            rounding=spec.rounding,
            overflow=spec.overflow,
            clamp=spec.clamp,
        ),
    )


def _surplus(multiplier: IntArray, shift: IntArray) -> IntArray:
    """Bits that each multiplier has too many."""
    bits = np.array([int(each).bit_length() for each in multiplier])
    return np.asarray(np.minimum(np.maximum(bits - ONE_MULTIPLIER_BITS, 0), shift))
