"""Activations: ReLU and slopes are parts of requantizations, other functions are tables."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from systolith.hls4ml_backend.assembly import Assembly
from systolith.hls4ml_backend.fixed_type import FixedType, fixed_type, type_problem
from systolith.hls4ml_backend.form import Clip, Slope
from systolith.hls4ml_backend.layers.functions import TABLES, FunctionParameters, Lookup
from systolith.hls4ml_backend.layers.weights import parameter_problems, read_parameter
from systolith.hls4ml_backend.tensors import PendingTensor
from systolith.network import MAX_TABLE_BITS

__all__ = ["ACTIVATION_KINDS", "FUNCTIONS", "activation_problem", "map_activation", "name_function"]

ACTIVATION_KINDS = (
    *("Activation", "ParametrizedActivation", "HardActivation"),
    *("PReLU", "TernaryTanh"),
)
"""Classes of hls4ml."""
SPELLINGS = {
    "leakyrelu": "leaky_relu",
    "thresholdedrelu": "thresholded_relu",
    "binary": "binary_tanh",
    "ternary": "ternary_tanh",
}
"""Names of functions in the C++, where an attribute has another one."""
FUNCTIONS = (
    *("linear", "relu", "leaky_relu", "prelu", "thresholded_relu"),
    *("hard_sigmoid", "hard_tanh", "binary_tanh", "ternary_tanh"),
    *TABLES,
)
"""Names of the supported functions in the C++."""


def name_function(node: Any) -> str:
    """Name the function of an activation as in the C++.

    A threshold of 0, which hls4ml reads Keras' ReLU as, is a ReLU.
    """
    name = str(node.get_attr("activation", "linear")).lower()
    name = SPELLINGS.get(name, name)
    is_relu = name == "thresholded_relu" and not node.get_attr("activ_param", 1.0)
    return "relu" if is_relu else name


def activation_problem(node: Any) -> str | None:
    """Say why an activation is not supported; None if it is."""
    name = name_function(node)
    if name == "prelu" and node.class_name != "PReLU":
        return "is a PRelu of ONNX, whose slopes hls4ml does not read; use LeakyRelu"
    if name in FUNCTIONS:
        return None
    return f"activation {name} is not supported; use one of {', '.join(FUNCTIONS)}"


def map_activation(assembly: Assembly, node: Any, value: PendingTensor) -> PendingTensor | None:
    """Append the function of an activation; its result has yet to be cast."""
    name = name_function(node)
    if name == "linear":
        return value
    if name == "relu":
        return value.then(node.name, Clip(low=0))
    problems = list(_type_problems(node))
    for problem in problems:
        assembly.refuse(node.name, problem)
    if problems:
        return None
    if name == "prelu":
        return _map_prelu(assembly, node, value)
    given = fixed_type(node.get_input_variable().type.precision)
    settings = _read_parameters(node)
    if name == "leaky_relu" and given.width > MAX_TABLE_BITS:
        factors, fraction = _reduce([settings.parameter], settings.parameter_fraction)
        return value.then(node.name, Slope(factors, fraction))
    result = fixed_type(node.get_output_variable().type.precision)
    step = Lookup(name=name, given=given, result=result, parameters=settings)
    return value.then(node.name, step)


def _type_problems(node: Any) -> Iterator[str]:
    result = node.get_output_variable().type.precision
    types = {"input": node.get_input_variable().type.precision, "result": result}
    if name_function(node) in TABLES:
        types["table"] = node.types["table_t"].precision
    if node.class_name == "ParametrizedActivation":
        types["param"] = node.types["param_t"].precision
    for key, precision in types.items():
        if problem := type_problem(precision):
            yield f"{key} {problem}"
    if node.class_name == "PReLU":
        yield from parameter_problems(node.get_weights("param"), "param")


def _read_parameters(node: Any) -> FunctionParameters:
    """Read the numbers of a function in their types, as the C++ gets them."""
    table, parameter, shift = None, (1, 0), (0, 0)
    if name_function(node) in TABLES:
        table = fixed_type(node.types["table_t"].precision)
    if node.class_name == "ParametrizedActivation":
        kind = fixed_type(node.types["param_t"].precision)
        parameter = _convert(node.get_attr("activ_param", 1.0), kind)
    if node.class_name == "HardActivation":
        parameter, shift = (
            _convert(node.get_attr(key), fixed_type(node.types[f"{key}_t"].precision))
            for key in ("slope", "shift")
        )
    return FunctionParameters(
        table=table,
        table_size=int(node.get_attr("table_size", 1024)),
        parameter=parameter[0],
        parameter_fraction=parameter[1],
        shift=shift[0],
        shift_fraction=shift[1],
    )


def _convert(value: Any, kind: FixedType) -> tuple[int, int]:
    """Convert a number, which the C++ reads as text, to a type; give integer and fraction."""
    return int(kind.quantize(np.array([float(f"{value}")]))[0]), kind.fraction


def _map_prelu(assembly: Assembly, node: Any, value: PendingTensor) -> PendingTensor | None:
    """Append a slope for each channel of the network's tensor."""
    slopes = read_parameter(node.get_weights("param"))
    channels, pixels = value.shape[0], value.shape[1] * value.shape[2]
    given = slopes.values.reshape(-1)
    if given.size not in (1, value.view.size) and not (value.is_image and given.size == channels):
        assembly.refuse(node.name, f"has {given.size} slopes for values {value.view.shape}")
        return None
    spread = np.broadcast_to(
        given if given.size in (1, channels) else given.reshape(value.view.shape), value.view.shape
    )
    placed = np.empty(channels * pixels, dtype=np.int64)
    placed[value.view.reshape(-1)] = spread.reshape(-1)
    rows = placed.reshape(channels, pixels)
    if (rows != rows[:, :1]).any():
        assembly.refuse(
            node.name, "has slopes that differ from pixel to pixel; give each channel one slope"
        )
        return None
    factors, fraction = _reduce([int(slope) for slope in rows[:, 0]], slopes.fraction)
    return value.then(node.name, Slope(factors, fraction))


def _reduce(factors: list[int], fraction: int) -> tuple[tuple[int, ...], int]:
    """Use the fewest fractional bits, at least 0."""
    while fraction > 0 and all(factor % 2 == 0 for factor in factors):
        factors, fraction = [factor // 2 for factor in factors], fraction - 1
    shift = max(-fraction, 0)
    factors = [factor << shift for factor in factors]
    return tuple(factors[:1] if len(set(factors)) == 1 else factors), max(fraction, 0)
