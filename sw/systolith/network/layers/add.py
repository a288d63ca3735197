"""Residual additions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from systolith.network._fields import Fields, repr_of
from systolith.network.layers._accumulating import Accumulating
from systolith.network.layers._inputs import finish, shape_problems
from systolith.network.numbers import ActType, IntArray, Requantize
from systolith.network.tensor import Shape, Tensor

__all__ = ["ADDED_MULTIPLIER_BITS", "Add"]

ADDED_MULTIPLIER_BITS = 16
"""Bit width of the Add multipliers."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Add(Accumulating):
    """Residual addition of two tensors, each brought to a common scale.

    ``acc = (a - zero_a) * multipliers[0] + (b - zero_b) * multipliers[1]``, then
    :class:`Requantize`.

    Parameters
    ----------
    inputs : pair of str
        The layers added.
    multipliers : pair of int
        1..65535.

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

    def __post_init__(self) -> None:
        fields = Fields(self)
        fields.name("name")
        given = self.inputs
        if (
            isinstance(given, tuple | list)
            and len(given) == 2
            and all(isinstance(name, str) for name in given)
        ):
            object.__setattr__(self, "inputs", tuple(given))
        else:
            fields.problems.append(f"inputs must be the names of two layers, got {repr_of(given)}")
        if fields.integers("multipliers", 2) and not all(
            1 <= multiplier < 1 << ADDED_MULTIPLIER_BITS for multiplier in self.multipliers
        ):
            fields.problems.append(f"multipliers must lie in 1..65535, got {self.multipliers}")
        fields.instance("requantize", Requantize)
        fields.instance("output", ActType)
        finish(fields, self.name)

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Shape of either input."""
        return inputs[0]

    def problems(self, inputs: Sequence[Shape]) -> Iterator[str]:
        """List what does not fit inputs of these shapes."""
        if unfit := shape_problems(self.inputs, inputs):
            yield from unfit
            return
        if inputs[0] != inputs[1]:
            yield (
                f"adds tensors of equal shape, but '{self.inputs[0]}' has {inputs[0]} "
                f"and '{self.inputs[1]}' has {inputs[1]}"
            )
        yield from self.requantize.problems(inputs[0][0], self.output)

    def accumulate(self, values: Sequence[IntArray], inputs: Sequence[Tensor]) -> IntArray:
        """Add both centred inputs, each times its multiplier."""
        a, b = (x - tensor.type.zero_point for x, tensor in zip(values, inputs, strict=True))
        return np.asarray(a * self.multipliers[0] + b * self.multipliers[1])

    def accumulator_range(self, inputs: Sequence[Tensor]) -> tuple[int, int]:
        """Compute the range of the sum."""
        types = [tensor.type for tensor in inputs]
        factors = list(zip(types, self.multipliers, strict=True))
        return (
            sum((act.low - act.zero_point) * factor for act, factor in factors),
            sum((act.high - act.zero_point) * factor for act, factor in factors),
        )
