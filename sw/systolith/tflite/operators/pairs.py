"""Sums, differences, products, maxima and minima of two tensors."""

from dataclasses import replace

import numpy as np

from systolith.network import ActType, Add, Multiply, Requantize, Table
from systolith.tflite.activation import Activation
from systolith.tflite.errors import TfliteError
from systolith.tflite.operators.broadcasting import read_pair
from systolith.tflite.operators.functions import read_function, share_source
from systolith.tflite.operators.operands import Call
from systolith.tflite.scales import activation_range, quantize_multiplier, requantize_as_tflite

__all__ = ["read_addition", "read_difference", "read_extreme", "read_product"]

LEFT_SHIFT = 20
"""Left shift of both inputs of ADD and SUB, for int8."""


def read_addition(call: Call) -> Activation:
    """ADD: both inputs are scaled to half of the larger scale's unit and rounded, then added."""
    if share_source(call) is not None:
        return read_function(call)
    return _add(call, *read_pair(call))


def read_difference(call: Call) -> Activation:
    """SUB: ADD of the first input and the second one with its sign changed, which is a table."""
    if share_source(call) is not None:
        return read_function(call)
    first, second = read_pair(call)
    return _add(call, first, _negate(call, second))


def read_product(call: Call) -> Activation:
    """MUL: products are scaled by a multiplier of 31 bits and rounded twice."""
    if share_source(call) is not None:
        return read_function(call)
    first, second = read_pair(call)
    act = call.output_type
    clamp = activation_range(call.operator.options.FusedActivationFunction(), call.output, act)
    scale = first.scale * second.scale / float(call.output.scale[0])
    layer = Multiply(
        name=call.name,
        inputs=(first.layer, second.layer),
        requantize=requantize_as_tflite([scale], clamp),
        output=act,
    )
    return call.append_alike(layer, [first, second])


def read_extreme(call: Call) -> Activation:
    """MAXIMUM, MINIMUM: ``b + max(a - b, 0)``, ``b + min(a - b, 0)``, in integers of one scale."""
    if share_source(call) is not None:
        return read_function(call)
    first, second = read_pair(call)
    act = call.output_type
    for x in (first, second):
        if x.type != act or x.scale != float(call.output.scale[0]):
            raise TfliteError(["compares tensors of different scales; convert with one scale"])
    greatest = call.operator.kind == "MAXIMUM"
    one = Requantize(multiplier=np.array([1]), shift=np.array([0]))
    beyond = Add(
        name=call.unused("beyond"),
        inputs=(first.layer, _negate(call, second).layer),
        multipliers=(1, 1),
        requantize=one,
        output=ActType(bits=8, signed=False, zero_point=0 if greatest else 255),
    )
    call.draft.layers.append(beyond)
    extreme = Add(
        name=call.name,
        inputs=(second.layer, beyond.name),
        multipliers=(1, 1),
        requantize=one,
        output=act,
    )
    return call.append_alike(extreme, [second, second])


def _add(call: Call, first: Activation, second: Activation) -> Activation:
    """Add with multipliers of 31 bits."""
    own = float(call.tensor(0).scale[0]), float(call.tensor(1).scale[0])
    unit = 2 * max(own)
    one, other = (quantize_multiplier(scale / unit) for scale in own)
    if not (one[0] and other[0]):
        raise TfliteError(["adds tensors whose scales differ by more than 2**31"])
    act = call.output_type
    clamp = activation_range(call.operator.options.FusedActivationFunction(), call.output, act)
    scale = unit / ((1 << LEFT_SHIFT) * float(call.output.scale[0]))
    layer = Add(
        name=call.name,
        inputs=(first.layer, second.layer),
        multipliers=(one[0], other[0]),
        left_shift=LEFT_SHIFT,
        shifts=(one[1], other[1]),
        requantize=requantize_as_tflite([scale], clamp),
        output=act,
    )
    return call.append_alike(layer, [first, second])


def _negate(call: Call, x: Activation) -> Activation:
    """Change the sign of every value: the integer and its zero point are inverted bit by bit."""
    act = x.type
    layer = Table(
        name=call.unused("negative"),
        input=x.layer,
        values=~np.arange(act.low, act.high + 1),
        output=replace(act, zero_point=~act.zero_point),
    )
    call.draft.layers.append(layer)
    return replace(x, layer=layer.name)
