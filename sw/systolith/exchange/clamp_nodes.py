"""Nodes that cut off values: Relu, Clip, Min, Max, Floor; of reals and of integers."""

from collections.abc import Sequence
from dataclasses import replace
from math import inf

import numpy as np

from systolith.exchange.building import Building
from systolith.exchange.errors import ExchangeError
from systolith.exchange.model_file import Node
from systolith.exchange.operands import constant_of, is_constant
from systolith.exchange.plain_layers import pending_of
from systolith.exchange.values import Absent, Activation, Images, Integers, Value

__all__ = ["clip", "floor", "maximum", "minimum", "relu"]


def relu(node: Node, values: Sequence[Value], made: Building) -> Value:
    """Relu: a lower bound."""
    return _cut(node, values[0], 0.0, inf, made)


def clip(node: Node, values: Sequence[Value], made: Building) -> Value:
    """Clip with constant bounds, such as ReLU6."""
    bounds = []
    for value, name, without in zip(values[1:3], ("min", "max"), (-inf, inf), strict=True):
        given = node.attributes[name]
        if isinstance(value, Absent):
            bounds.append(without if given is None else float(given))
        else:
            bounds.append(_bound(value))
    return _cut(node, values[0], bounds[0], bounds[1], made)


def minimum(node: Node, values: Sequence[Value], made: Building) -> Value:
    """Min of an activation and a constant: an upper bound."""
    x, bound = _beside_constant(values)
    return _cut(node, x, -inf, bound, made)


def maximum(node: Node, values: Sequence[Value], made: Building) -> Value:
    """Max of an activation and a constant: a lower bound."""
    x, bound = _beside_constant(values)
    return _cut(node, x, bound, inf, made)


def _beside_constant(values: Sequence[Value]) -> tuple[Value, float]:
    for x, other in (values, values[::-1]):
        if is_constant(other):
            return x, _bound(other)
    raise ExchangeError(["compares two activations; one with a constant is supported"])


def _bound(value: Value) -> float:
    bounds = constant_of(value, "bounds", finite=False).reshape(-1)
    if np.isnan(bounds).any():
        raise ExchangeError(["has NaN as a bound; numbers are supported"])
    if bounds.size == 0 or (bounds != bounds[0]).any():
        raise ExchangeError([f"has {bounds.size} different bounds; one for all is supported"])
    return float(bounds[0])


def _cut(node: Node, x: Value, low: float, high: float, made: Building) -> Value:
    """Cut off what lies beyond bounds, the greater one last, as ONNX does."""
    low = min(low, high)
    if isinstance(x, Integers):
        before = x.quantizer.bounds
        bounds = (min(max(before[0], low), high), max(min(before[1], high), low))
        return replace(x, quantizer=replace(x.quantizer, bounds=bounds))
    if isinstance(x, Images) and x.quantizer is not None:
        x = made.take(x)
    if isinstance(x, Activation):
        act, zero = x.tensor.type, x.tensor.type.zero_point
        ends = (x.scale * (end - zero) + x.origin for end in (act.low, act.high))
        if all(low <= end <= high for end in ends):
            return x
    held = x if isinstance(x, Images) else pending_of(node, x, made)
    if not isinstance(held, Images) and any(held.padding) and not low <= 0 <= high:
        raise ExchangeError(
            [f"cuts the zeros of a padded image to {low:g}..{high:g}; pad after it"]
        )
    return replace(held, low=min(max(held.low, low), high), high=max(min(held.high, high), low))


def floor(node: Node, values: Sequence[Value], made: Building) -> Value:
    """Floor: a quantizer that comes after it, of the same steps, drops fractions."""
    held = pending_of(node, values[0], made)
    if held.step is not None:
        raise ExchangeError(["rounds what was rounded down already; one Floor is supported"])
    return replace(held, step=1.0)
