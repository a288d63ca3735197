"""Nodes that cut off values: Relu, Clip, Floor."""

from collections.abc import Sequence
from dataclasses import replace
from math import inf

from systolith.exchange.building import Building
from systolith.exchange.errors import ExchangeError
from systolith.exchange.model_file import Node
from systolith.exchange.plain_layers import pending_of
from systolith.exchange.values import Activation, Constant, Images, Value

__all__ = [
    "clip",
    "floor",
    "relu",
]


def relu(node: Node, values: Sequence[Value], made: Building) -> Value:
    """Relu: a lower bound."""
    return _cut(node, values[0], 0.0, inf)


def clip(node: Node, values: Sequence[Value], made: Building) -> Value:
    """Clip with constant bounds, such as ReLU6."""
    bounds = [float(node.get("min", -inf)), float(node.get("max", inf))]
    for place, value in enumerate(values[1:3]):
        if not isinstance(value, Constant):
            raise ExchangeError(["has bounds that are computed; constant ones are supported"])
        if value.values.size:
            bounds[place] = float(value.values.reshape(-1)[0])
    return _cut(node, values[0], *bounds)


def _cut(node: Node, x: Value, low: float, high: float) -> Value:
    if isinstance(x, Activation):
        act, zero = x.tensor.type, x.tensor.type.zero_point
        if low <= x.scale * (act.low - zero) and x.scale * (act.high - zero) <= high:
            return x
    held = x if isinstance(x, Images) else pending_of(node, x)
    return replace(held, low=max(held.low, low), high=max(min(held.high, high), low))


def floor(node: Node, values: Sequence[Value], made: Building) -> Value:
    """Floor: a quantizer that comes after it, of the same steps, drops fractions."""
    held = pending_of(node, values[0])
    if held.step is not None:
        raise ExchangeError(["rounds what was rounded down already"])
    return replace(held, step=1.0)
