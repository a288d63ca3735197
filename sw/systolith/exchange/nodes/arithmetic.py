"""Arithmetic: additions, constants, batch norm, and bounds such as Relu and Clip."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from math import inf

import numpy as np

from systolith.exchange.errors import ExchangeError
from systolith.exchange.file.model_file import Node
from systolith.exchange.layers.draft import Draft
from systolith.exchange.layers.operands import activation_of, constant_of, is_constant
from systolith.exchange.layers.plain import make_unweighted, pending_of
from systolith.exchange.layers.products import multiply_activations, spread
from systolith.exchange.layers.weighted import affine_of, multiply_pending, shift_pending
from systolith.exchange.values.layouts import channel_constants, drop_batch_axis, shape_of
from systolith.exchange.values.quantizer import FloatArray, InputStep
from systolith.exchange.values.value import (
    Absent,
    Integers,
    ModelInput,
    PendingLayer,
    QuantizedActivation,
    QuantizedConstant,
    Term,
    Value,
)
from systolith.network import ADDED_MULTIPLIER_BITS, ActType, Add, IntArray, Requantize, Requantized

__all__ = [
    "read_add",
    "read_batch_norm",
    "read_clip",
    "read_divide",
    "read_floor",
    "read_maximum",
    "read_minimum",
    "read_multiply",
    "read_relu",
    "read_subtract",
]

IMAGE_AXES = 3
"""C, H, W."""
MAX_MULTIPLIER = (1 << ADDED_MULTIPLIER_BITS) - 1
"""Greatest multiplier of an addition."""


def read_add(node: Node, values: Sequence[Value], draft: Draft) -> Value:
    """Read Add of two activations, or of an activation and constants; axes of 1 are repeated."""
    for x, other in (values, values[::-1]):
        if is_constant(other):
            return _add_constant(node, x, constant_of(other, "constants"), "Add", draft)
    a, b = (draft.pad_apart(activation_of(value, draft)) for value in values)
    if shape_of(a) != shape_of(b):
        a, b = _repeat(node, a, b, draft)
    if not np.array_equal(_order(a), _order(b)):
        raise ExchangeError.of(
            "adds what is ordered in two ways; move the Transpose or Reshape after the addition"
        )
    multipliers, unit = _common_unit(a.scale, b.scale)

    def make(name: str, bias: IntArray, requantize: Requantize, output: ActType) -> Requantized:
        return Add(
            name=name,
            inputs=(a.layer, b.layer),
            multipliers=multipliers,
            requantize=requantize,
            output=output,
        )

    terms = tuple(
        Term(scale=x.scale, multiplier=multiplier, type=x.tensor.type)
        for x, multiplier in zip((a, b), multipliers, strict=True)
    )
    error = float(sum(term.error(unit) for term in terms))
    pending = make_unweighted(node, make, [a, b], unit)
    return replace(pending, error=error, terms=terms if error else (), places=a.places)


def _repeat(
    node: Node, a: QuantizedActivation, b: QuantizedActivation, draft: Draft
) -> tuple[QuantizedActivation, QuantizedActivation]:
    """Repeat two images over their axes of length 1."""
    one, other = a.tensor.shape, b.tensor.shape
    if not len(one) == len(other) == IMAGE_AXES or not (a.places is b.places is None):
        shapes = f"{shape_of(a)} and {shape_of(b)}"
        raise ExchangeError.of(f"adds shapes {shapes}; images, and two of one shape, are supported")
    shape = tuple(max(lengths) for lengths in zip(one, other, strict=True))
    return spread(node, a, shape, draft), spread(node, b, shape, draft)


def _order(x: QuantizedActivation) -> IntArray:
    return np.zeros(0, dtype=np.int64) if x.places is None else x.places


def read_subtract(node: Node, values: Sequence[Value], draft: Draft) -> Value:
    """Read Sub of an activation and constants, in either order."""
    if is_constant(values[1]):
        return _add_constant(node, values[0], constant_of(values[1], "constants"), "Sub", draft)
    if is_constant(values[0]) and not isinstance(values[1], ModelInput):
        negated = _multiply_constant(node, values[1], np.array([-1.0]), "Mul", draft)
        return _add_constant(node, negated, constant_of(values[0], "constants"), "Add", draft)
    raise ExchangeError.of("subtracts two activations; one with a constant is supported")


def _add_constant(node: Node, x: Value, by: FloatArray, op: str, draft: Draft) -> Value:
    """Add or subtract constants."""
    if isinstance(x, ModelInput) and x.quantizer is None:
        return _append_step(x, by, op)
    if isinstance(x, QuantizedActivation) and x.counts and by.size == 1 and not any(x.padding):
        added = float(-by.flat[0] if op == "Sub" else by.flat[0])
        reals = x.real_values + np.float32(added)
        return replace(x, origin=x.origin + added, reals=reals)
    pending = affine_of(node, x, draft)
    return shift_pending(pending, channel_constants(-by if op == "Sub" else by, pending))


def read_multiply(node: Node, values: Sequence[Value], draft: Draft) -> Value:
    """Read Mul of two activations, or by constants; a positive one becomes part of a scale."""
    for x, other in (values, values[::-1]):
        if is_constant(other):
            return _multiply_constant(node, x, constant_of(other, "constants"), "Mul", draft)
    return multiply_activations(node, values, draft)


def read_divide(node: Node, values: Sequence[Value], draft: Draft) -> Value:
    """Read Div by constants."""
    if not is_constant(values[1]):
        raise ExchangeError.of("divides by what the model computes; constants are supported")
    by = constant_of(values[1], "constants")
    if (by == 0).any():
        raise ExchangeError.of("divides by 0; other constants are supported")
    return _multiply_constant(node, values[0], by, "Div", draft)


def _multiply_constant(node: Node, x: Value, by: FloatArray, op: str, draft: Draft) -> Value:
    """Multiply or divide by constants."""
    if isinstance(x, ModelInput) and x.quantizer is None:
        return _append_step(x, by, op)
    factor = 1 / by if op == "Div" else by
    if isinstance(x, QuantizedConstant) and factor.size == 1 and factor.flat[0] > 0:
        return replace(x, scale=x.scale * float(factor.flat[0]))
    if isinstance(x, ModelInput):
        x = draft.read_input(x)
    if isinstance(x, QuantizedActivation) and factor.size == 1 and factor.flat[0] > 0:
        times, number = float(factor.flat[0]), np.float32(by.flat[0])
        reals = x.real_values / number if op == "Div" else x.real_values * number
        return replace(x, scale=x.scale * times, origin=x.origin * times, reals=reals)
    if isinstance(x, PendingLayer):
        return multiply_pending(x, channel_constants(factor, x))
    pending = affine_of(node, x, draft)
    return multiply_pending(pending, channel_constants(factor, pending))


def _append_step(x: ModelInput, by: FloatArray, op: str) -> ModelInput:
    """Append a step to the arithmetic of the host."""
    if x.low > -inf or x.high < inf:
        raise ExchangeError.of(
            "changes the model's input after it was cut off; cut it off last, before its quantizer"
        )
    # A single constant has no axes, so moves can ignore it.
    values = by.reshape(1) if by.size == 1 else drop_batch_axis(by, x.places.shape)
    return replace(x, steps=(*x.steps, InputStep(op=op, values=values)))


def read_batch_norm(node: Node, values: Sequence[Value], draft: Draft) -> Value:
    """Read BatchNormalization: a factor and a shift for each channel."""
    x = values[0]
    names = ("scale", "B", "mean", "variance")
    gamma, beta, mean, variance = (
        constant_of(value, name).reshape(-1) for value, name in zip(values[1:], names, strict=True)
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = gamma / np.sqrt(variance + float(node.attributes["epsilon"]))
    if not (np.isfinite(factor).all() and np.isfinite(beta).all() and np.isfinite(mean).all()):
        raise ExchangeError.of("has parameters that give infinite or undefined factors")
    shape = shape_of(x)
    sizes = [parameter.size for parameter in (gamma, beta, mean, variance)]
    if shape is None or set(sizes) != {shape[0]}:
        raise ExchangeError.of(f"has {sizes} parameters for an input of shape (N, *{shape})")
    along = (-1, *[1] * (len(shape) - 1))
    shift = (beta - mean * factor).reshape(along)
    if isinstance(x, ModelInput) and x.quantizer is None:
        return _append_step(_append_step(x, factor.reshape(along), "Mul"), shift, "Add")
    pending = affine_of(node, x, draft)
    if pending.clipped or pending.then or pending.step is not None:
        raise ExchangeError.of(
            "stands after something else than a convolution, a fully connected layer or a "
            "quantizer: fold it, or put a quantizer before it"
        )
    pending = multiply_pending(pending, channel_constants(factor.reshape(along), pending))
    return shift_pending(pending, channel_constants(shift, pending))


def _common_unit(a: float, b: float) -> tuple[tuple[int, int], float]:
    """Choose multipliers and a unit for two scales; they are exact for simple ratios."""
    greater, less = max(a, b), min(a, b)
    share = (Fraction(less) / Fraction(greater)).limit_denominator(MAX_MULTIPLIER)
    multiplier, divisor = (share.numerator, share.denominator) if share else (1, MAX_MULTIPLIER)
    multipliers = (divisor, multiplier)
    return (multipliers if a >= b else multipliers[::-1]), greater / divisor


def read_relu(node: Node, values: Sequence[Value], draft: Draft) -> Value:
    """Read Relu: a lower bound."""
    return _clip(node, values[0], 0.0, inf, draft)


def read_clip(node: Node, values: Sequence[Value], draft: Draft) -> Value:
    """Read Clip with constant bounds, such as ReLU6."""
    bounds = []
    for value, name, without in zip(values[1:3], ("min", "max"), (-inf, inf), strict=True):
        given = node.attributes[name]
        if isinstance(value, Absent):
            bounds.append(without if given is None else float(given))
        else:
            bounds.append(_bound(value))
    return _clip(node, values[0], bounds[0], bounds[1], draft)


def read_minimum(node: Node, values: Sequence[Value], draft: Draft) -> Value:
    """Read Min of an activation and a constant: an upper bound."""
    x, bound = _split_constant(values)
    return _clip(node, x, -inf, bound, draft)


def read_maximum(node: Node, values: Sequence[Value], draft: Draft) -> Value:
    """Read Max of an activation and a constant: a lower bound."""
    x, bound = _split_constant(values)
    return _clip(node, x, bound, inf, draft)


def _split_constant(values: Sequence[Value]) -> tuple[Value, float]:
    for x, other in (values, values[::-1]):
        if is_constant(other):
            return x, _bound(other)
    raise ExchangeError.of("compares two activations; one with a constant is supported")


def _bound(value: Value) -> float:
    bounds = constant_of(value, "bounds", finite=False).reshape(-1)
    if np.isnan(bounds).any():
        raise ExchangeError.of("has NaN as a bound; numbers are supported")
    if bounds.size == 0 or (bounds != bounds[0]).any():
        raise ExchangeError.of(f"has {bounds.size} different bounds; one for all is supported")
    return float(bounds[0])


def _clip(node: Node, x: Value, low: float, high: float, draft: Draft) -> Value:
    """Clip a value; the upper bound is applied last, as in ONNX."""
    low = min(low, high)
    if isinstance(x, Integers):
        before = x.quantizer.bounds
        bounds = (min(max(before[0], low), high), max(min(before[1], high), low))
        return replace(x, quantizer=replace(x.quantizer, bounds=bounds))
    if isinstance(x, ModelInput) and x.quantizer is not None:
        x = draft.read_input(x)
    if isinstance(x, QuantizedActivation):
        act, zero = x.tensor.type, x.tensor.type.zero_point
        ends = (x.scale * (end - zero) + x.origin for end in (act.low, act.high))
        if all(low <= end <= high for end in ends):
            return x
    pending = x if isinstance(x, ModelInput) else pending_of(node, x, draft)
    if not isinstance(pending, ModelInput) and any(pending.padding) and not low <= 0 <= high:
        raise ExchangeError.of(
            f"cuts the zeros of a padded image to {low:g}..{high:g}; pad after it"
        )
    return replace(
        pending, low=min(max(pending.low, low), high), high=max(min(pending.high, high), low)
    )


def read_floor(node: Node, values: Sequence[Value], draft: Draft) -> Value:
    """Read Floor: the next quantizer, of the same step, then drops fractions."""
    pending = pending_of(node, values[0], draft)
    if pending.step is not None:
        raise ExchangeError.of("rounds what was rounded down already; one Floor is supported")
    return replace(pending, step=1.0)
