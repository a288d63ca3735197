"""Layers without weights, and activations of one bit."""

from collections.abc import Sequence
from dataclasses import replace
from math import inf

import numpy as np

from systolith.exchange.errors import ExchangeError
from systolith.exchange.file.model_file import Node
from systolith.exchange.layers.draft import Draft
from systolith.exchange.layers.functions import quantize_function
from systolith.exchange.layers.operands import activation_of
from systolith.exchange.layers.rising import count_function
from systolith.exchange.values.quantizer import Quantizer
from systolith.exchange.values.value import (
    AppendLayer,
    MakeLayer,
    ModelInput,
    PendingFunction,
    PendingLayer,
    PendingTable,
    QuantizedActivation,
    Value,
)
from systolith.network import (
    ActType,
    Add,
    AvgPool2d,
    IntArray,
    Padding,
    Requantize,
    Requantized,
)

__all__ = [
    "append_layer",
    "make_average",
    "make_unweighted",
    "pending_of",
    "quantize_signs",
    "widen_signs",
]

PROBE_REQUANTIZE = Requantize(multiplier=np.array([1]), shift=np.array([0]))
PROBE_TYPE = ActType(bits=16, signed=True)
"""Of layers that are made to find their shape and accumulator range."""


def pending_of(node: Node, x: Value, draft: Draft) -> PendingLayer:
    """Make a pending layer that keeps the values of an activation, so that they can be requantized.

    For images, this is an average pool of one pixel; for vectors, half the sum of the vector and
    itself.
    """
    if isinstance(x, PendingLayer):
        return x
    act = activation_of(x, draft)
    if any(act.padding):
        act = draft.include_zero(act)
    if act.origin and any(act.padding):
        raise ExchangeError.of("pads with zeros what no integer of its steps stands for")
    if len(act.tensor.shape) == 3:
        pending = make_average(node, act, (1, 1), (1, 1), (0, 0, 0, 0))
    else:

        def make(name: str, bias: IntArray, requantize: Requantize, output: ActType) -> Requantized:
            return Add(
                name=name,
                inputs=(act.layer, act.layer),
                multipliers=(1, 1),
                requantize=requantize,
                output=output,
            )

        pending = make_unweighted(node, make, [act, act], act.scale / 2)
        pending = replace(pending, offset=np.array([act.origin]))
    return replace(pending, padding=act.padding, places=act.places)


def append_layer(
    node: Node, x: QuantizedActivation | PendingLayer, follow: AppendLayer, draft: Draft
) -> Value:
    """Append a layer without arithmetic to an activation or to a pending layer."""
    if isinstance(x, QuantizedActivation):
        return draft.append(node.name, x, follow)
    layer = follow("probe", "input")
    if problems := list(layer.problems([x.result])):
        raise ExchangeError(problems)
    return replace(x, result=layer.output_shape([x.result]), then=(*x.then, follow))


def make_average(
    node: Node,
    x: QuantizedActivation,
    kernel: tuple[int, int] | None,
    stride: tuple[int, int],
    padding: Padding,
    counted: Padding | None = None,
) -> PendingLayer:
    """Make an average pool; without a kernel, over the whole image.

    `counted` is the part of the padding that is in the area; None counts all of it.
    """

    def make(name: str, bias: IntArray, requantize: Requantize, output: ActType) -> Requantized:
        return AvgPool2d(
            name=name,
            input=x.layer,
            requantize=requantize,
            output=output,
            kernel_size=kernel,
            stride=stride,
            padding=padding,
            counted=counted,
        )

    probe = make("probe", np.zeros(1, dtype=np.int64), PROBE_REQUANTIZE, PROBE_TYPE)
    assert isinstance(probe, AvgPool2d)
    if problems := list(probe.problems([x.tensor.shape])):
        raise ExchangeError(problems)
    if x.origin and any(padding):
        raise ExchangeError.of("pads with zeros what no integer of its steps stands for")
    return make_unweighted(node, make, [x], x.scale / probe.divisor(x.tensor.shape))


def make_unweighted(
    node: Node, make: MakeLayer, sources: Sequence[QuantizedActivation], scale: float
) -> PendingLayer:
    """Make a pending layer without weights."""
    tensors = [x.tensor for x in sources]
    shapes = [tensor.shape for tensor in tensors]
    probe = make("probe", np.zeros(1, dtype=np.int64), PROBE_REQUANTIZE, PROBE_TYPE)
    if problems := list(probe.problems(shapes)):
        raise ExchangeError(problems)
    shape = probe.output_shape(shapes)
    return PendingLayer(
        name=node.name,
        shape=shape,
        result=shape,
        make=make,
        sum_range=lambda bias: probe.accumulator_range(tensors),
        scale=np.array([scale]),
        offset=np.array([sum(x.origin for x in sources)]),
        biased=False,
    )


ONE_BIT = Quantizer(scale=1.0, type=ActType(bits=1, signed=False, zero_point=1), rounding="FLOOR")
"""0 for negative values, 1 for the others: ``clip(floor(x) + 1, 0, 1)``."""


def quantize_signs(node: Node, x: Value, scale: float, draft: Draft) -> QuantizedActivation:
    """Quantize values to -1 or +1 times the scale, stored in one bit.

    The integer q is 0 or 1, and stands for ``2 * scale * (q - 1) + scale``.
    """
    match x:
        case ModelInput(quantizer=None):
            signs = draft.read_input(replace(x, quantizer=ONE_BIT))
        case PendingTable():
            signs = quantize_function(x, ONE_BIT, draft)
        case PendingFunction():
            signs = count_function(x, ONE_BIT, draft)
        case _:
            value = draft.read_input(x) if isinstance(x, ModelInput) else x
            assert isinstance(value, PendingLayer | QuantizedActivation)
            pending = pending_of(node, value, draft)
            signs = draft.quantize_once(value, ONE_BIT, _drop_scale(pending))
    return replace(signs, scale=2 * scale, origin=scale)


def widen_signs(node: Node, x: QuantizedActivation, draft: Draft) -> QuantizedActivation:
    """Store -1 and +1 in two bits, for an output of the network."""
    quantizer = Quantizer(scale=x.origin, type=ActType(bits=2, signed=True))
    return draft.quantize_once(x, quantizer, pending_of(node, x, draft))


def _drop_scale(x: PendingLayer) -> PendingLayer:
    """Write each channel in steps of its accumulator, which keeps the signs."""
    if any(x.padding):
        raise ExchangeError.of("makes +1 of the zeros of a padded image; pad after it")
    if x.low >= 0 or x.high < 0:
        raise ExchangeError.of(
            f"makes -1 or +1 of numbers of {x.low:g} to {x.high:g}, which have one sign"
        )
    if x.slope is not None and ((x.slope <= 0).any() or x.raised):
        raise ExchangeError.of(
            "makes -1 or +1 of slopes of 0 or less, or with an added constant; put a quantizer "
            "before it"
        )
    silent = x.scale == 0
    step = np.where(silent, 1.0, x.scale)
    least = float(step.min())
    return replace(
        x,
        scale=np.where(silent, 0.0, 1.0),
        offset=x.offset / step,
        low=-inf,
        high=inf,
        slope=None,
        step=None,
        error=x.error / least,
        terms=tuple(replace(term, scale=term.scale / least) for term in x.terms),
    )
