"""Two tensors of one shape: the smaller one is repeated over the axes that it lacks."""

from dataclasses import replace

import numpy as np

from systolith.network import SelectChannels, Upsample
from systolith.tflite.activation import Activation
from systolith.tflite.errors import TfliteError
from systolith.tflite.operators.operands import Call

__all__ = ["read_pair"]


def read_pair(call: Call) -> tuple[Activation, Activation]:
    """Return both inputs of an operator, which are computed, with one shape and one order.

    Raises
    ------
    TfliteError
        If one is neither as large as the other nor one value for each channel or pixel.
    """
    first, second = call.unpadded(0), call.unpadded(1)
    if first.places.size == second.places.size:
        return _align(call, first, second)
    if first.places.size < second.places.size:
        gate, whole = _align_gate(call, first, second)
        return gate, whole
    gate, whole = _align_gate(call, second, first)
    return whole, gate


def _align(call: Call, first: Activation, second: Activation) -> tuple[Activation, Activation]:
    """Bring two tensors of one size into one order."""
    if not _same_order(first, second) and len(first.tensor.shape) in (3, 4):
        first, second = call.draft.arrange(first), call.draft.arrange(second)
    if first.shape != second.shape:
        first, second = call.draft.flatten(first), call.draft.flatten(second)
    if not _same_order(first, second):
        names = f"'{first.tensor.name}' and '{second.tensor.name}'"
        raise TfliteError([f"combines {names}, whose values lie in different orders"])
    return first, second


def _same_order(first: Activation, second: Activation) -> bool:
    return np.array_equal(first.places.ravel(), second.places.ravel())


def _align_gate(call: Call, gate: Activation, whole: Activation) -> tuple[Activation, Activation]:
    """Repeat a tensor over the axes of a larger one that it lacks."""
    whole = call.draft.arrange(whole)
    axes = (1,) * (len(whole.tensor.shape) - len(gate.tensor.shape)) + gate.tensor.shape
    if axes[1:-1] == (1,) * len(axes[1:-1]) and gate.shape[1:] == (1, 1):
        gate = replace(call.draft.select(gate, gate.places, gate.tensor))
    elif not gate.is_image:
        gate = call.draft.arrange(gate)
    layer, own, shape = gate.layer, gate.shape, whole.shape
    if own[0] == 1 < shape[0] and len(own) == 3:
        channels = SelectChannels(
            name=call.unused("channels"), input=layer, channels=(0,) * shape[0]
        )
        call.draft.layers.append(channels)
        layer, own = channels.name, (shape[0], *own[1:])
    if own[1:] == (1, 1) != shape[1:]:
        pixels = Upsample(name=call.unused("pixels"), input=layer, factors=(shape[1], shape[2]))
        call.draft.layers.append(pixels)
        layer, own = pixels.name, shape
    if own != shape or call.output.shape != whole.tensor.shape:
        shapes = f"combines {gate.tensor.shape} with {whole.tensor.shape}"
        raise TfliteError([f"{shapes}; one shape, or one value for each channel or pixel, is read"])
    return replace(gate, layer=layer, shape=shape, places=whole.places), whole
