"""Functions that differ from channel to channel: constants added, multiplied, slopes of PRELU."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from systolith.network import (
    ActType,
    Add,
    AvgPool2d,
    Conv2d,
    IntArray,
    Layer,
    Linear,
    Pattern,
    PerNeuron,
    Requantize,
    Shape,
    Table,
    requantize,
    signed_bits,
)
from systolith.tflite.activation import Activation
from systolith.tflite.errors import TfliteError
from systolith.tflite.operators.fitting import fit_scaling, fit_thresholds
from systolith.tflite.operators.operands import Call
from systolith.tflite.scales import activation_range, requantize_as_tflite

__all__ = ["append_channelwise"]

LEAST_WEIGHT_BITS = 2
REFUSED = (
    "computes functions of single channels that neither rise nor fall, nor are 0 at 0; use one "
    "function for all channels"
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Function:
    """Functions of channels of a layer.

    Attributes
    ----------
    input : str
    shape : tuple of int
    codes : array of int64, shape (codes,)
        Integers that occur, less their zero point.
    values : array of int64, shape (codes, channels)
    output : ActType
    """

    input: str
    shape: Shape
    codes: IntArray
    values: IntArray
    output: ActType


def append_channelwise(
    call: Call, source: Activation, values: IntArray, constants: IntArray | None
) -> Activation:
    """Add layers that compute a function of its own for each channel.

    The first of these that equals the function for every integer is chosen: multipliers and
    offsets of each channel; the product with a constant, rounded twice; thresholds; and the sum of
    a function of the integers below zero and one of the others.

    Parameters
    ----------
    call : Call
    source : Activation
    values : array of int64, shape (codes, channels)
        Results of each integer of the source, by channel of the network.
    constants : array of int64, shape (channels,), optional
        The factors of MUL or PRELU.

    Raises
    ------
    TfliteError
        If none does.
    """
    act = source.type
    function = _Function(
        input=source.layer,
        shape=source.shape,
        codes=np.arange(act.low, act.high + 1) - act.zero_point,
        values=values,
        output=call.output_type,
    )
    layer = _in_one(call, call.name, function, constants)
    if layer is None:
        layer = _in_two(call, act, function, constants)
    return call.append_alike(layer, [source] * len(layer.inputs))


def _in_one(call: Call, name: str, function: _Function, constants: IntArray | None) -> Layer | None:
    """Make the layer that computes functions; None if no layer does."""
    for weights, spec in _candidates(call, function, constants):
        accs = function.codes[:, None] * weights
        if np.array_equal(requantize(accs, spec, function.output), function.values):
            return _layer(name, function, weights, spec)
    return None


def _candidates(
    call: Call, function: _Function, constants: IntArray | None
) -> Iterator[tuple[IntArray, Requantize]]:
    """Yield weights and requantizations, the smallest first."""
    codes, values, output = function.codes[:, None], function.values, function.output
    falls = (values[-1] < values[0]) & (np.diff(values, axis=0) <= 0).all(axis=0)
    signs = np.where(falls, -1, 1)
    # Accumulators of a channel with weight -1 ascend from the last code to the first.
    accs = np.where(falls, -codes[::-1], codes)
    rising = np.where(falls, values[::-1], values)
    if (spec := fit_scaling(accs, rising, output)) is not None:
        yield signs, spec
    if constants is not None:
        options = call.operator.options
        fused = options.FusedActivationFunction() if call.operator.kind == "MUL" else 0
        scales = [float(call.tensor(number).scale[0]) for number in (0, 1)]
        scale = scales[0] * scales[1] / float(call.output.scale[0])
        clamp = activation_range(fused, call.output, output)
        yield constants, requantize_as_tflite([scale], clamp)
    if (spec := fit_thresholds(accs, rising, output)) is not None:
        yield signs, spec


def _in_two(call: Call, act: ActType, function: _Function, constants: IntArray | None) -> Layer:
    """Add layers of the integers below zero and of the others; make the sum of both.

    Raises
    ------
    TfliteError
        If zero does not become zero, or a part has no layer.
    """
    zero = act.zero_point - act.low
    if (function.values[zero] != function.output.zero_point).any():
        raise TfliteError([REFUSED])
    codes = np.arange(act.low, act.high + 1)
    names = []
    for part, clipped in (
        ("below", np.minimum(codes, act.zero_point)),
        ("above", np.maximum(codes, act.zero_point)),
    ):
        values, name = function.values[clipped - act.low], call.unused(part)
        names.append(name)
        if (values == values[:, :1]).all():
            table = Table(
                name=name, input=function.input, values=values[:, 0], output=function.output
            )
            call.draft.layers.append(table)
            continue
        kept = Table(
            name=call.unused(f"{part}_zero"), input=function.input, values=clipped, output=act
        )
        call.draft.layers.append(kept)
        used = clipped == codes
        own = replace(
            function, input=kept.name, codes=function.codes[used], values=function.values[used]
        )
        if (layer := _in_one(call, name, own, constants)) is None:
            raise TfliteError([REFUSED])
        call.draft.layers.append(layer)
    return Add(
        name=call.name,
        inputs=(names[0], names[1]),
        multipliers=(1, 1),
        requantize=Requantize(multiplier=np.array([1]), shift=np.array([0])),
        output=function.output,
    )


def _layer(name: str, function: _Function, weights: IntArray, spec: Requantize) -> Layer:
    """Make a layer that multiplies each channel by a weight."""
    count, output = len(weights), function.output
    if len(function.shape) == 3 and (weights == 1).all():
        return AvgPool2d(
            name=name, input=function.input, kernel_size=(1, 1), requantize=spec, output=output
        )
    bits = max(signed_bits(int(weights.min()), int(weights.max())), LEAST_WEIGHT_BITS)
    bias = np.zeros(count, dtype=np.int64)
    if len(function.shape) == 3:
        return Conv2d(
            name=name,
            input=function.input,
            weight=weights.reshape(count, 1, 1, 1),
            bias=bias,
            requantize=spec,
            output=output,
            weight_bits=bits,
            groups=count,
        )
    return Linear(
        name=name,
        input=function.input,
        weight=np.diag(weights),
        bias=bias,
        requantize=spec,
        output=output,
        weight_bits=bits,
        pattern=Pattern(select=PerNeuron(k=1)),
        mask=np.eye(count, dtype=np.bool_),
    )
