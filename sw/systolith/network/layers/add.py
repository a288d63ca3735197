"""Residual additions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from systolith.network._fields import Fields
from systolith.network.layers._accumulating import Accumulating
from systolith.network.layers._inputs import check_pair, finish, pair_problems
from systolith.network.numbers import (
    MAX_MULTIPLIER_BITS,
    MAX_SHIFT,
    ActType,
    IntArray,
    Requantize,
    signed_bits,
)
from systolith.network.requantizing import shift_right
from systolith.network.tensor import Shape, Tensor

__all__ = ["ADDED_MULTIPLIER_BITS", "Add"]

ADDED_MULTIPLIER_BITS = 16
"""Bit width of the Add multipliers whose products are added as they are."""
MAX_LEFT_SHIFT = 20
"""Greatest left shift of the inputs, that of TFLite."""
MAX_SCALED_BITS = 63
"""Greatest bit width of an input before its right shift; int64 holds it with half a unit."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Add(Accumulating):
    """Residual addition of two tensors, each brought to a common scale.

    ``acc = (a - zero_a) * multipliers[0] + (b - zero_b) * multipliers[1]``, then
    :class:`Requantize`. With `shifts`, the products are rounded before they are added, as in
    TFLite: each is ``(a - zero_a) * 2**left_shift * multiplier``, shifted right by its shift and
    rounded as the requantization is.

    Parameters
    ----------
    inputs : pair of str
        The layers added.
    multipliers : pair of int
        1..65535; with `shifts`, at most 31 bits.
    left_shift : int
        0..20; 0 without `shifts`.
    shifts : pair of int, optional
        0..62 each. None if the products are added as they are.

    Raises
    ------
    NetworkError
        With every problem of the layer.
    """

    name: str
    inputs: tuple[str, str]
    multipliers: tuple[int, int]
    requantize: Requantize
    output: ActType
    left_shift: int = 0
    shifts: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        fields = Fields(self)
        fields.name("name")
        check_pair(fields, self, self.inputs)
        bits = ADDED_MULTIPLIER_BITS if self.shifts is None else MAX_MULTIPLIER_BITS
        if fields.integers("multipliers", 2) and not all(
            1 <= multiplier < 1 << bits for multiplier in self.multipliers
        ):
            most = (1 << bits) - 1
            fields.problems.append(f"multipliers must lie in 1..{most}, got {self.multipliers}")
        self._check_shifts(fields)
        fields.instance("requantize", Requantize)
        fields.instance("output", ActType)
        finish(fields, self.name)

    def _check_shifts(self, fields: Fields) -> None:
        most = 0 if self.shifts is None else MAX_LEFT_SHIFT
        if fields.integer("left_shift") and not 0 <= self.left_shift <= most:
            without = " without shifts" if self.shifts is None else ""
            fields.problems.append(
                f"left_shift must lie in 0..{most}{without}, got {self.left_shift}"
            )
        if self.shifts is None or not fields.integers("shifts", 2):
            return
        if not all(0 <= shift <= MAX_SHIFT for shift in self.shifts):
            fields.problems.append(f"shifts must lie in 0..{MAX_SHIFT}, got {self.shifts}")

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Shape of either input."""
        return inputs[0]

    def problems(self, inputs: Sequence[Shape]) -> Iterator[str]:
        """List what does not fit inputs of these shapes."""
        yield from pair_problems(self.inputs, inputs, "adds", self.requantize, self.output)

    def accumulate(self, values: Sequence[IntArray], inputs: Sequence[Tensor]) -> IntArray:
        """Add both centred inputs, each times its multiplier."""
        a, b = (
            self.scale(x - tensor.type.zero_point, number)
            for number, (x, tensor) in enumerate(zip(values, inputs, strict=True))
        )
        return np.asarray(a + b)

    def scale(self, centred: IntArray, number: int) -> IntArray:
        """Multiply centred values of input 0 or 1; with shifts, shift and round them."""
        product = centred * self.multipliers[number]
        if self.shifts is None:
            return np.asarray(product)
        shift = np.array(self.shifts[number])
        return shift_right(product << self.left_shift, shift, self.requantize.rounding)

    def type_problems(self, inputs: Sequence[ActType]) -> Iterator[str]:
        """List what does not fit inputs of these types."""
        bits = max(
            signed_bits(act.low - act.zero_point, act.high - act.zero_point)
            + multiplier.bit_length()
            + self.left_shift
            for act, multiplier in zip(inputs, self.multipliers, strict=True)
        )
        if bits > MAX_SCALED_BITS:
            yield f"scales its inputs to {bits} bits; at most {MAX_SCALED_BITS} are supported"

    def accumulator_range(self, inputs: Sequence[Tensor]) -> tuple[int, int]:
        """Compute the range of the sum."""
        low = high = 0
        for number, tensor in enumerate(inputs):
            # A scaled input never falls while its input grows.
            act = tensor.type
            ends = np.array([act.low - act.zero_point, act.high - act.zero_point])
            least, most = self.scale(ends, number).tolist()
            low, high = low + least, high + most
        return low, high
