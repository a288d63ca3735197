"""Declarations of operators: their inputs, attributes and operator sets; others are refused."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import onnx
from onnx import TensorProto, defs, helper

from systolith.exchange.file.model_file import Node
from systolith.exchange.layers.draft import Draft
from systolith.exchange.values.value import Value

__all__ = [
    "ANY",
    "AVERAGING",
    "BLOCKS",
    "CHANNELS_LAST_FLAG",
    "CONVOLUTION",
    "LATEST_OPSET",
    "MAX_POOLING",
    "POOLING",
    "QUANT_ATTRIBUTES",
    "TRANSPOSED",
    "Attribute",
    "Handler",
    "OnnxOperator",
    "accept_float",
    "accept_one",
    "accept_zero",
]

Handler = Callable[[Node, Sequence[Value], Draft], Value]

LATEST_OPSET = 25
"""Newest operator set of ONNX whose operators were reviewed."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute that an operator's handler knows.

    Attributes
    ----------
    default : object
        Value if neither the file nor ONNX's definition has one.
    accepts : callable or None
        Whether a value is supported; None if all are.
    words : str
        Why other values are refused, and what to do; ``{value}`` stands for the value.
    """

    default: Any = None
    accepts: Callable[[Any], bool] | None = None
    words: str = ""


@dataclass(frozen=True, slots=True)
class OnnxOperator:
    """How to import one kind of node.

    Attributes
    ----------
    run : callable
        Handler: gives the value of the node's first output.
    becomes : str
        Layer of the network, in words.
    limits : str
        Supported variants, in words.
    inputs : str
        Names in order; a question mark follows those that may be left out. A star follows the
        last one if there may be several.
    attributes : dict of str to Attribute
    integers : callable or None
        Handler for integers between quantizers; None if they are not supported.
    """

    run: Handler
    becomes: str
    limits: str
    inputs: str = "X"
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    integers: Handler | None = None

    @property
    def variadic(self) -> bool:
        """Whether the last input may occur several times."""
        return self.inputs.endswith("*")

    def interpret(self, node: Node, opsets: Mapping[str, int]) -> tuple[Node, list[str]]:
        """Give every declared attribute a value, and list what is not supported.

        Parameters
        ----------
        node : Node
        opsets : dict of str to int
            Operator set versions that the file imports, by domain.

        Returns
        -------
        node : Node
            With the declared attributes only; refused ones have their defaults.
        problems : list of str
        """
        schema = _schema(node, opsets)
        problems = []
        if schema is not None and schema.since_version > LATEST_OPSET:
            problems.append(
                f"is as of operator set {schema.since_version}; up to {LATEST_OPSET} is known: "
                "convert the file by onnx.version_converter"
            )
        defaults = {} if schema is None else _defaults(schema)
        attributes = {
            name: defaults.get(name, declared.default) for name, declared in self.attributes.items()
        }
        for name, value in node.attributes.items():
            declared = self.attributes.get(name)
            if declared is None:
                if name not in defaults or value != defaults[name]:
                    problems.append(_not_known(name, value, defaults))
            elif declared.accepts is None or declared.accepts(value):
                attributes[name] = value
            else:
                problems.append(declared.words.format(value=_shown(value)))
        problems += self._input_problems(node)
        return replace(node, attributes=attributes), problems

    def _input_problems(self, node: Node) -> list[str]:
        declared = self.inputs.split()
        problems = [
            f"leaves out its input '{name}', which is required"
            for place, name in enumerate(declared)
            if not name.endswith("?") and not (place < len(node.inputs) and node.inputs[place])
        ]
        more = [name for name in node.inputs[len(declared) :] if name]
        if more and not self.variadic:
            problems.append(
                f"has {len(node.inputs)} inputs; {len(declared)} are supported, "
                f"not '{', '.join(more)}'"
            )
        return problems


def _schema(node: Node, opsets: Mapping[str, int]) -> defs.OpSchema | None:
    domain = "" if node.domain == "ai.onnx" else node.domain
    version = opsets.get(domain, defs.onnx_opset_version() if not domain else 1)
    try:
        return defs.get_schema(node.op, version, domain)
    except defs.SchemaError:
        return None


def _defaults(schema: defs.OpSchema) -> dict[str, Any]:
    """Read the defaults of attributes in ONNX's definition."""
    defaults = {}
    for name, attribute in schema.attributes.items():
        if attribute.default_value.type != onnx.AttributeProto.UNDEFINED:
            value = helper.get_attribute_value(attribute.default_value)
            defaults[name] = value.decode() if isinstance(value, bytes) else value
    return defaults


def _not_known(name: str, value: object, defaults: Mapping[str, Any]) -> str:
    only = f"{name} {_shown(defaults[name])} is supported" if name in defaults else "leave it out"
    return f"has {name} {_shown(value)}, which is not supported; {only}"


def _shown(value: object) -> str:
    return str(tuple(value)) if isinstance(value, list) else str(value)


def accept_ones(words: str) -> Attribute:
    """Accept lists of ones only."""
    return Attribute(accepts=lambda value: set(value) <= {1}, words=words)


def accept_zero(words: str) -> Attribute:
    """Accept 0 or nothing only."""
    return Attribute(default=0, accepts=lambda value: not value, words=words)


def accept_one(name: str) -> Attribute:
    """Accept a factor of 1 only."""
    words = f"has {name} {{value}}; 1 is supported: fold it into the weights"
    return Attribute(default=1.0, accepts=lambda value: float(value) == 1.0, words=words)


def accept_float(name: str) -> Attribute:
    """Accept single precision only."""
    words = f"has {name} {{value}}, a type with fewer digits; FLOAT is supported: leave it out"
    return Attribute(default=0, accepts=lambda value: value in (0, TensorProto.FLOAT), words=words)


ANY = Attribute()
WINDOW = {
    "kernel_shape": ANY,
    "strides": ANY,
    "pads": ANY,
    "auto_pad": Attribute(
        default="NOTSET",
        accepts=lambda value: value in ("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"),
        words="has auto_pad {value}; NOTSET, SAME_UPPER, SAME_LOWER and VALID are supported",
    ),
}
CONVOLUTION = {
    **WINDOW,
    "group": Attribute(default=1),
    "dilations": ANY,
}
POOLING = {**WINDOW, "ceil_mode": Attribute(default=0), "dilations": ANY}
MAX_POOLING = {**POOLING, "storage_order": Attribute(default=0)}
AVERAGING = {
    **POOLING,
    "dilations": accept_ones("is dilated by {value}; dilations of 1 are supported"),
    "count_include_pad": Attribute(default=0),
}
TRANSPOSED = accept_zero("transposes its activations (transA {value}); 0 is supported")
CHANNELS_LAST_FLAG = {
    "channels_last": accept_zero(
        "keeps channels last; channels first is supported (channels_last 0)"
    )
}
BLOCKS = accept_zero(
    "has scales for blocks of {value}; one scale, or one for each channel, is supported"
)
RESIZE_MODE = Attribute(
    default="nearest",
    accepts=lambda value: value in ("nearest", "linear"),
    words="has mode '{value}'; nearest and linear are supported",
)
RESIZING = {
    "mode": RESIZE_MODE,
    "coordinate_transformation_mode": Attribute(default="half_pixel"),
    "nearest_mode": Attribute(default="round_prefer_floor"),
    "keep_aspect_ratio_policy": Attribute(
        default="stretch",
        accepts=lambda value: value == "stretch",
        words="has keep_aspect_ratio_policy '{value}'; stretch is supported",
    ),
    "antialias": accept_zero("smooths (antialias {value}); 0 is supported"),
    "axes": accept_zero("names axes {value}; sizes or scales of all axes are supported"),
    "cubic_coeff_a": ANY,
    "exclude_outside": ANY,
    "extrapolation_value": ANY,
}
QUANT_ATTRIBUTES = {
    "signed": Attribute(default=1),
    "narrow": Attribute(default=0),
    "rounding_mode": Attribute(default="ROUND"),
}
