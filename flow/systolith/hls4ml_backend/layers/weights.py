"""Weights and biases as the integers of hls4ml's C simulation, and the patterns of weights."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from hls4ml.model.types import IntegerPrecisionType, WeightVariable

from systolith.exchange import detect_structure
from systolith.hls4ml_backend.fixed_type import fixed_type, type_problem
from systolith.network import (
    MAX_WEIGHT_BITS,
    BoolArray,
    Dense,
    Granularity,
    IntArray,
    KOutOfN,
    NetworkError,
    Pattern,
    signed_bits,
)

__all__ = [
    "FixedArray",
    "find_common_scale",
    "find_pattern",
    "parameter_problems",
    "pattern_problem",
    "read_parameter",
]

TERNARY = IntegerPrecisionType(width=2, signed=True)
BINARY = IntegerPrecisionType(width=1, signed=False)


@dataclass(frozen=True, slots=True)
class FixedArray:
    """An array of integers times ``2**-fraction``."""

    values: IntArray
    fraction: int

    def reduce(self) -> "FixedArray":
        """Divide by the greatest power of two that divides every value."""
        combined = int(np.bitwise_or.reduce(self.values, axis=None))
        if combined == 0:
            return FixedArray(self.values, 0)
        zeros = (combined & -combined).bit_length() - 1
        return FixedArray(self.values >> zeros, self.fraction - zeros)

    def align(self, fraction: int) -> IntArray:
        """Give the integers with more fractional bits."""
        return self.values << (fraction - self.fraction)


def parameter_problems(variable: Any, name: str) -> Iterator[str]:
    """Say why weights or biases of hls4ml are not integers."""
    if type(variable) is not WeightVariable:
        yield f"{name} is kept as {type(variable).__name__}; use fixed-point weights, uncompressed"
        return
    precision = variable.type.precision
    if problem := type_problem(precision):
        yield f"{name} {problem}"
    elif name == "weight" and precision == BINARY:
        yield "weight has the type ap_uint<1>, which hls4ml reads as -1 and 1; use ap_ufixed<1,1>"
    elif name == "weight" and precision == TERNARY and (read_parameter(variable).values < -1).any():
        yield (
            "weight has the type ap_int<2>, by which hls4ml multiplies as by -1, 0 or 1, but it "
            "contains -2; use ap_fixed<2,2>"
        )


def read_parameter(variable: Any) -> FixedArray:
    """Read the values that C++ gets from the text files of hls4ml's writer.

    The writer gives each number as many decimals as its type has fractional bits. C++ reads it as a
    double and converts it to the type.

    Parameters
    ----------
    variable : WeightVariable

    Returns
    -------
    Scaled
        Has the shape of the data.
    """
    written = np.array([float(text) for text in variable], dtype=np.float64)
    kind = fixed_type(variable.type.precision)
    return FixedArray(kind.quantize(written).reshape(np.shape(variable.data)), kind.fraction)


def find_common_scale(
    weight: FixedArray, bias: FixedArray, input_fraction: int
) -> tuple[FixedArray, IntArray, int] | str:
    """Align weights and biases to the accumulators.

    Trailing zero bits of all weights are removed. If the bias has more fractional bits than the
    products, zero bits are appended to the weights.

    Returns
    -------
    tuple of Scaled, array of int64, int
        Weights, biases in units of the accumulators, and the bit width of the weights.
    str
        The problem, if the weights need too many bits.
    """
    weight, bias = weight.reduce(), bias.reduce()
    if not bias.values.any():
        bias = FixedArray(bias.values, weight.fraction + input_fraction)
    spare = bias.fraction - (weight.fraction + input_fraction)
    if spare > 0:
        bits = signed_bits(int(weight.values.min()), int(weight.values.max())) + spare
        if bits > MAX_WEIGHT_BITS:
            return (
                f"bias has {bias.fraction} fractional bits, and products of weights and inputs "
                f"have {weight.fraction + input_fraction}; set Precision.bias to a type with at "
                f"most {weight.fraction + input_fraction + spare - bits + MAX_WEIGHT_BITS}"
            )
        weight = FixedArray(weight.values << spare, weight.fraction + spare)
    least, most = int(weight.values.min()), int(weight.values.max())
    bits = max(signed_bits(least, most), 2)
    if bits > MAX_WEIGHT_BITS:
        return (
            f"weights {least}..{most} need {bits} bits; set Precision.weight to at most "
            f"{MAX_WEIGHT_BITS} bits"
        )
    return weight, bias.align(weight.fraction + input_fraction), bits


WRITTEN = re.compile(r"(\d+)-of-(\d+)(-kernel)?")


def pattern_problem(text: object) -> str | None:
    """Say why a value does not name a pattern; None if it does."""
    if isinstance(text, str) and (text == "dense" or WRITTEN.fullmatch(text)):
        return None
    return f"must be 'dense', 'K-of-N' such as '2-of-4', or 'K-of-N-kernel', got {text!r}"


def find_pattern(weight: IntArray, text: str | None) -> tuple[Pattern, BoolArray | None]:
    """Find the pattern of weights and its mask.

    Parameters
    ----------
    weight : array of int64, shape (F, C, Kh, Kw)
    text : str or None
        Name in the configuration, see :func:`pattern_problem`; None detects the pattern.

    Returns
    -------
    tuple of Pattern, array of bool or None
        The mask is None if the pattern is dense.

    Raises
    ------
    NetworkError
        If the weights do not conform to the pattern.
    """
    if text is None:
        structure = detect_structure(weight)
        return structure.pattern, structure.mask
    pattern = _parse_pattern(text)
    if pattern.is_dense:
        return pattern, None
    if isinstance(pattern.select, KOutOfN) and weight.shape[1] % pattern.select.n:
        raise NetworkError(list(pattern.problems(weight.shape)))
    return pattern, kept_mask(weight, pattern)


def kept_mask(weight: IntArray, pattern: Pattern) -> BoolArray:
    """Make a mask of all nonzero weights, and of zeros where a group has fewer than the pattern."""
    select = pattern.select
    assert isinstance(select, KOutOfN)
    filters, channels, height, width = weight.shape
    groups = weight.reshape(filters, channels // select.n, select.n, height, width)
    kernel = select.granularity is Granularity.KERNEL
    used = (groups != 0).any(axis=(3, 4), keepdims=True) if kernel else groups != 0
    missing = select.k - used.sum(axis=2, keepdims=True)
    spare = ~used
    filled = used | (spare & (spare.cumsum(axis=2) <= missing))
    if (missing < 0).any():
        most = int(used.sum(axis=2).max())
        problem = (
            f"Pattern {select} keeps {select.k} of every {select.n} input channels, but a group "
            f"has {most} weights that are not 0; prune them, or leave Pattern out"
        )
        raise NetworkError([problem])
    return np.broadcast_to(filled, groups.shape).reshape(weight.shape)


def _parse_pattern(text: str) -> Pattern:
    match = WRITTEN.fullmatch(text)
    if match is None:
        return Pattern(select=Dense())
    granularity = Granularity.KERNEL if match[3] else Granularity.WEIGHT
    return Pattern(select=KOutOfN(int(match[1]), int(match[2]), granularity))
