"""Functions of one value as the C++ of hls4ml for streams computes them, bit for bit.

hls4ml reads most functions from a table of `table_size` entries. It fills the table in single
precision and stores it in its own type, `table_t`. The functions here do the same. They take
integers of the input's type and give integers of the result's type.
"""

import ctypes
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from systolith.hls4ml_backend.fixed_type import FixedType
from systolith.network import IntArray

__all__ = ["TABLES", "FunctionParameters", "Lookup", "compute_function"]

Singles = NDArray[np.float32]
LAMBDA, ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717
"""Constants of the SELU."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionParameters:
    """What a function needs besides its input.

    Attributes
    ----------
    table : FixedType or None
        Type of the table's entries.
    table_size : int
    parameter, shift : int
        Integers: slope, threshold or alpha; the shift of a hard sigmoid.
    parameter_fraction, shift_fraction : int
        Their fractional bits.
    """

    table: FixedType | None = None
    table_size: int = 1024
    parameter: int = 1
    parameter_fraction: int = 0
    shift: int = 0
    shift_fraction: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """A function of one value as a step: any function, so it joins no requantization.

    Attributes
    ----------
    name : str
        Name of the function in hls4ml's C++.
    given, result : FixedType
        Types of the input and of the result.
    parameters : FunctionParameters
    """

    name: str
    given: FixedType
    result: FixedType
    parameters: FunctionParameters = FunctionParameters()

    def append_to(self, form: Any) -> None:
        """No function is part of a requantization."""
        return

    def problem(self, form: Any) -> None:
        """Tables are checked when they are made, because their size depends on the tensor."""
        return

    def apply(self, values: IntArray, fraction: int) -> tuple[IntArray, int]:
        """Apply the function to integers; return integers and their fractional bits."""
        given = self.given.cast(values, fraction)
        return compute_function(self, given), self.result.fraction

    def __str__(self) -> str:
        return f"{self.name} of {self.given}"


def compute_function(step: Lookup, given: IntArray) -> IntArray:
    """Compute a function of integers of its input's type.

    Parameters
    ----------
    step : Lookup
    given : array of int64
        In units of ``2**-step.given.fraction``.

    Returns
    -------
    array of int64
        In units of ``2**-step.result.fraction``.
    """
    if step.name in TABLES:
        return _read_table(step, given)
    return CLOSED[step.name](step, given)


def _cast(step: Lookup, values: IntArray, fraction: int) -> IntArray:
    return step.result.cast(values, fraction)


def _leaky_relu(step: Lookup, given: IntArray) -> IntArray:
    settings, fraction = step.parameters, step.given.fraction
    scaled = _cast(step, given * settings.parameter, fraction + settings.parameter_fraction)
    return np.where(given > 0, _cast(step, given, fraction), scaled)


def _thresholded_relu(step: Lookup, given: IntArray) -> IntArray:
    settings, fraction = step.parameters, step.given.fraction
    common = max(fraction, settings.parameter_fraction)
    theta = settings.parameter << (common - settings.parameter_fraction)
    above = (given << (common - fraction)) > theta
    return np.where(above, _cast(step, given, fraction), 0)


def _hard_sigmoid(step: Lookup, given: IntArray) -> IntArray:
    bounded, fraction = _bounded_line(step, given)
    return _cast(step, bounded, fraction)


def _hard_tanh(step: Lookup, given: IntArray) -> IntArray:
    bounded, fraction = _bounded_line(step, given)
    return _cast(step, 2 * bounded - (1 << fraction), fraction)


def _bounded_line(step: Lookup, given: IntArray) -> tuple[IntArray, int]:
    """Compute ``clip(slope * x + shift, 0, 1)`` exactly, and its fractional bits."""
    settings = step.parameters
    product = step.given.fraction + settings.parameter_fraction
    fraction = max(product, settings.shift_fraction, 0)
    line = (given * settings.parameter) << (fraction - product)
    line = line + (settings.shift << (fraction - settings.shift_fraction))
    return np.clip(line, 0, 1 << fraction), fraction


def _binary_tanh(step: Lookup, given: IntArray) -> IntArray:
    return _cast(step, np.where(given >= 0, 1, -1), 0)


def _ternary_tanh(step: Lookup, given: IntArray) -> IntArray:
    fraction = max(step.given.fraction, 0)
    scaled, one = given << (fraction - step.given.fraction), 1 << fraction
    return _cast(step, np.where(scaled > one, 1, np.where(scaled <= -one, -1, 0)), 0)


CLOSED: Mapping[str, Callable[[Lookup, IntArray], IntArray]] = {
    "leaky_relu": _leaky_relu,
    "thresholded_relu": _thresholded_relu,
    "hard_sigmoid": _hard_sigmoid,
    "hard_tanh": _hard_tanh,
    "binary_tanh": _binary_tanh,
    "ternary_tanh": _ternary_tanh,
}
"""Functions without a table, by name in the C++."""


@cache
def _single(name: str) -> Callable[[float], float]:
    """Load a function of single precision of the C library, which the C++ of hls4ml calls.

    NumPy has its own, which differ in the last bit.
    """
    function = getattr(ctypes.CDLL("libm.so.6"), name)
    function.restype, function.argtypes = ctypes.c_float, [ctypes.c_float]
    return lambda value: float(function(value))


def _map_single(name: str, x: Singles) -> Singles:
    function = _single(name)
    return np.array([function(float(value)) for value in x], dtype=np.float32)


def _sigmoid(x: Singles) -> Singles:
    below = np.float32(1) + _map_single("expf", -x)
    return (1.0 / below.astype(np.float64)).astype(np.float32)


def _tanh(x: Singles) -> Singles:
    return _map_single("tanhf", x)


def _softplus(x: Singles) -> Singles:
    powers = _map_single("expf", x).astype(np.float64)
    return np.array([math.log(power + 1) for power in powers], dtype=np.float32)


def _softsign(x: Singles) -> Singles:
    double = x.astype(np.float64)
    return np.asarray(double / (np.abs(double) + 1), dtype=np.float32)


def _elu(x: Singles) -> Singles:
    return (_map_single("expf", x).astype(np.float64) - 1).astype(np.float32)


def _selu(x: Singles) -> Singles:
    powers = _map_single("expf", x).astype(np.float64)
    return np.asarray(LAMBDA * (ALPHA * (powers - 1)), dtype=np.float32)


TABLES: Mapping[str, tuple[Callable[[Singles], Singles], int]] = {
    "sigmoid": (_sigmoid, 16),
    "tanh": (_tanh, 8),
    "softplus": (_softplus, 16),
    "softsign": (_softsign, 16),
    "elu": (_elu, -8),
    "selu": (_selu, -8),
}
"""Functions with a table, by name in the C++, and the table's span: -8 means inputs of -8..0."""


def _read_table(step: Lookup, given: IntArray) -> IntArray:
    """Look the function up as the C++ does."""
    function, span = TABLES[step.name]
    size, table_type = step.parameters.table_size, step.parameters.table
    assert table_type is not None
    steps = np.arange(size) - (size / 2 if span > 0 else 0)
    x = (span * steps / size).astype(np.float32)
    table = table_type.quantize(function(x))
    index = _index(given, step.given.fraction, size, span) + (size // 2 if span > 0 else 0)
    read = table[np.clip(index, 0, size - 1)]
    if span > 0:
        return _cast(step, read, table_type.fraction)
    return np.where(given >= 0, _positive(step, given), _negative(step, read, table_type))


def _positive(step: Lookup, given: IntArray) -> IntArray:
    """Compute the positive side of an ELU or a SELU."""
    if step.name == "elu":
        return _cast(step, given, step.given.fraction)
    # The C++ converts the factor to the type of the input.
    factor = int(step.given.quantize(np.array([LAMBDA]))[0])
    return _cast(step, given * factor, 2 * step.given.fraction)


def _negative(step: Lookup, read: IntArray, table: FixedType) -> IntArray:
    if step.name == "selu":
        return _cast(step, read, table.fraction)
    settings = step.parameters
    return _cast(step, read * settings.parameter, table.fraction + settings.parameter_fraction)


def _index(given: IntArray, fraction: int, size: int, span: int) -> IntArray:
    """Compute ``int(x * size / span)`` of fixed-point numbers: both steps round towards zero."""
    quotient = _divide(given * size, span)
    return _divide(quotient, 1 << fraction) if fraction > 0 else quotient << -fraction


def _divide(values: IntArray, divisor: int) -> IntArray:
    """Divide towards zero."""
    sign = np.sign(values) * (1 if divisor > 0 else -1)
    return np.asarray(sign * (np.abs(values) // abs(divisor)))
