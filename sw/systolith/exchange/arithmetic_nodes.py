"""Additions, and arithmetic with constants."""

from collections.abc import Sequence
from dataclasses import replace
from math import inf

from systolith.exchange.building import Building
from systolith.exchange.errors import ExchangeError
from systolith.exchange.model_file import Node
from systolith.exchange.operands import activation_of, constant_of, per_channel
from systolith.exchange.plain_layers import pending_of, plain
from systolith.exchange.values import (
    Activation,
    Constant,
    FloatArray,
    Images,
    Pending,
    QuantizedConstant,
    Value,
)
from systolith.exchange.weighted_nodes import multiplied, shifted
from systolith.network import ADDED_MULTIPLIER_BITS, ActType, Add, IntArray, Layer, Requantize

__all__ = [
    "add",
    "divide",
    "multiply",
    "subtract",
]

LARGEST = (1 << ADDED_MULTIPLIER_BITS) - 1
MATCHING_BITS = 12
"""Of the greater multiplier, where the scales of an addition are no simple ratio."""


def add(node: Node, values: Sequence[Value], made: Building) -> Value:
    """Add: two activations of one shape, or constants to what a layer gives."""
    for x, other in (values, values[::-1]):
        if isinstance(other, Constant | QuantizedConstant):
            return _moved(x, constant_of(other))
    a, b = (activation_of(value) for value in values)
    if any(a.padding) or any(b.padding):
        raise ExchangeError(["adds padded images"])
    multipliers, unit = _common_unit(a.scale, b.scale)

    def emit(name: str, bias: IntArray, requantize: Requantize, output: ActType) -> Layer:
        return Add(
            name=name,
            inputs=(a.layer, b.layer),
            multipliers=multipliers,
            requantize=requantize,
            output=output,
        )

    return plain(node, emit, [a, b], unit)


def subtract(node: Node, values: Sequence[Value], made: Building) -> Value:
    """Sub of a constant."""
    if not isinstance(values[1], Constant | QuantizedConstant):
        raise ExchangeError(["subtracts what is computed; constants are supported"])
    return _moved(values[0], -constant_of(values[1]))


def _moved(x: Value, by: FloatArray) -> Value:
    match x:
        case Images() if x.low == -inf and x.high == inf:
            return replace(x, offset=x.offset + by)
        case Pending():
            return shifted(x, per_channel(by, len(x.result)))
        case _:
            raise ExchangeError(["adds constants to what is quantized already; add them before"])


def multiply(node: Node, values: Sequence[Value], made: Building) -> Value:
    """Mul by constants: what is positive is part of a scale."""
    for x, other in (values, values[::-1]):
        if isinstance(other, Constant | QuantizedConstant):
            return _scaled(node, x, constant_of(other))
    raise ExchangeError(["multiplies two computed tensors; constants are supported"])


def divide(node: Node, values: Sequence[Value], made: Building) -> Value:
    """Div by constants."""
    if not isinstance(values[1], Constant | QuantizedConstant):
        raise ExchangeError(["divides by what is computed; constants are supported"])
    return _scaled(node, values[0], 1 / constant_of(values[1]))


def _scaled(node: Node, x: Value, by: FloatArray) -> Value:
    match x:
        case Images() if x.low == -inf and x.high == inf:
            return replace(x, scale=x.scale * by, offset=x.offset * by)
        case Activation() if by.size == 1 and by.flat[0] > 0:
            return replace(x, scale=x.scale * float(by.flat[0]))
        case _:
            held = pending_of(node, x)
            return multiplied(held, per_channel(by, len(held.result)))


def _common_unit(a: float, b: float) -> tuple[tuple[int, int], float]:
    """Multipliers and the unit that give both scales, exactly for simple ratios."""
    greater, less = max(a, b), min(a, b)
    for divisor in range(1, 1 + (1 << MATCHING_BITS)):
        factor = greater / less * divisor
        if factor > LARGEST:
            break
        if factor == round(factor):
            found = (round(factor), divisor)
            return (found if a >= b else found[::-1]), less / divisor
    unit = greater / LARGEST
    return (max(round(a / unit), 1), max(round(b / unit), 1)), unit
