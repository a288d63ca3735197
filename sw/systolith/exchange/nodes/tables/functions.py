"""Operators that compute each value on its own: functions, which become tables."""

from collections.abc import Mapping, Sequence

from systolith.exchange.file.model_file import Node
from systolith.exchange.layers.draft import Draft
from systolith.exchange.layers.functions import apply_function
from systolith.exchange.nodes.declarations import ANY, OnnxOperator
from systolith.exchange.values.value import Value

__all__ = ["FUNCTIONS"]

LIMITS = "between quantizers of up to 8 bits"
ATTRIBUTES: Mapping[str, Sequence[str]] = {
    **dict.fromkeys(
        ("Abs", "Atan", "Ceil", "Cos", "Erf", "Exp", "HardSwish", "Log", "Mish", "Neg")
        + ("Reciprocal", "Round", "Sigmoid", "Sign", "Sin", "Softplus", "Softsign", "Sqrt")
        + ("Tanh",),
        (),
    ),
    **dict.fromkeys(("Celu", "Elu", "LeakyRelu", "ThresholdedRelu"), ("alpha",)),
    "Gelu": ("approximate",),
    "HardSigmoid": ("alpha", "beta"),
    "Selu": ("alpha", "gamma"),
    "Shrink": ("bias", "lambd"),
}
"""Attributes of operators of one input."""


def _read_function(node: Node, values: Sequence[Value], draft: Draft) -> Value:
    """Read a function of each value."""
    return apply_function(node, values, draft)


FUNCTIONS: Mapping[str, OnnxOperator] = {
    **{
        name: OnnxOperator(
            _read_function, "Table", LIMITS, attributes=dict.fromkeys(attributes, ANY)
        )
        for name, attributes in ATTRIBUTES.items()
    },
    "Pow": OnnxOperator(_read_function, "Table", f"{LIMITS}; a constant exponent", "X Y"),
    "PRelu": OnnxOperator(_read_function, "Table", f"{LIMITS}; one slope", "X slope"),
}
"""Operators that are always functions of each value."""
