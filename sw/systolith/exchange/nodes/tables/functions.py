"""Operators that compute each value on its own: functions, which become tables."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from systolith.exchange.errors import ExchangeError
from systolith.exchange.file.model_file import Node
from systolith.exchange.layers.draft import Draft
from systolith.exchange.layers.functions import apply_function
from systolith.exchange.layers.operands import constant_of
from systolith.exchange.layers.plain import pending_of
from systolith.exchange.layers.rising import RISING, rising_function
from systolith.exchange.nodes.declarations import ANY, Attribute, OnnxOperator
from systolith.exchange.values.layouts import channel_constants
from systolith.exchange.values.value import (
    ModelInput,
    PendingLayer,
    QuantizedActivation,
    Value,
)
from systolith.network import MAX_TABLE_BITS

__all__ = ["FUNCTIONS"]

SLOPED = "requantization of the layer before; Table"
LIMITS = "between quantizers of up to 8 bits"
ATTRIBUTES: Mapping[str, Sequence[str]] = {
    **dict.fromkeys(
        ("Abs", "Atan", "Ceil", "Cos", "Erf", "Exp", "HardSwish", "Log", "Mish", "Neg")
        + ("Reciprocal", "Round", "Sigmoid", "Sign", "Sin", "Softplus", "Softsign", "Sqrt")
        + ("Tanh",),
        (),
    ),
    **dict.fromkeys(("Celu", "Elu", "ThresholdedRelu"), ("alpha",)),
    "Gelu": ("approximate",),
    "HardSigmoid": ("alpha", "beta"),
    "Selu": ("alpha", "gamma"),
    "Shrink": ("bias", "lambd"),
}
"""Attributes of operators of one input."""


def _read_function(node: Node, values: Sequence[Value], draft: Draft) -> Value:
    """Read a function of each value: a table, or a count of the integers that it reaches."""
    return rising_function(node, values, draft) or apply_function(node, values, draft)


def _read_slope(node: Node, values: Sequence[Value], draft: Draft) -> Value:
    """Read a slope of negative values: part of a layer's requantization, or a table."""
    x = values[0]
    if node.op == "PRelu":
        slope = constant_of(values[1], "slopes")
    else:
        slope = np.array([float(node.attributes["alpha"])])
    if isinstance(x, ModelInput) and x.quantizer is not None:
        x = draft.read_input(x)
    if isinstance(x, QuantizedActivation) and not any(x.padding):
        if slope.size == 1 and x.tensor.type.bits <= MAX_TABLE_BITS:
            return apply_function(node, [x, *values[1:]], draft)
        x = pending_of(node, x, draft)
    if not isinstance(x, PendingLayer) or x.clipped or x.then or x.step is not None:
        return apply_function(node, values, draft)
    if any(x.offset) and not x.biased:
        raise ExchangeError.of("stands behind an added constant; put a layer with weights before")
    return replace(x, slope=channel_constants(slope, x))


FUNCTIONS: Mapping[str, OnnxOperator] = {
    **{
        name: OnnxOperator(
            _read_function,
            "Table; thresholds of the layer before" if name in RISING else "Table",
            f"{LIMITS}; behind a layer" if name in RISING else LIMITS,
            attributes=dict.fromkeys(attributes, ANY),
        )
        for name, attributes in ATTRIBUTES.items()
    },
    "Pow": OnnxOperator(_read_function, "Table", f"{LIMITS}; a constant exponent", "X Y"),
    "LeakyRelu": OnnxOperator(
        _read_slope, SLOPED, f"behind a layer, or {LIMITS}", attributes={"alpha": Attribute(0.01)}
    ),
    "PRelu": OnnxOperator(_read_slope, SLOPED, "constant slopes", "X slope"),
}
"""Operators that are always functions of each value."""
