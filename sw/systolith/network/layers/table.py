"""Functions of one activation, as tables."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from systolith.network._fields import Fields
from systolith.network.layers._inputs import finish, shape_problems
from systolith.network.numbers import ActType, IntArray
from systolith.network.tensor import Shape, Tensor

__all__ = ["MAX_TABLE_BITS", "Table"]

MAX_TABLE_BITS = 8
"""Greatest bit width of the activations that a table reads."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Table:
    """Any function of one activation: sigmoid, hardswish, SiLU, or a function of the user.

    ``y = values[x - low]``, where `low` is the least integer of the input's type.

    Parameters
    ----------
    values : array of int, shape (2**bits,)
        Output integer for each integer of the input's type, in ascending order; 1..8 bits.
    output : ActType
        Type of the values.

    Raises
    ------
    NetworkError
        With every problem of the layer.

    Examples
    --------
    >>> from systolith.network import ActType
    >>> act = ActType(bits=2, signed=True)
    >>> magnitude = Table(name="abs", input="input", values=[2, 1, 0, 1], output=act)
    Traceback (most recent call last):
    ...
    systolith.network.errors.NetworkError: layer 'abs': values must lie in -2..1, got 0..2
    """

    name: str
    input: str
    values: IntArray
    output: ActType

    def __post_init__(self) -> None:
        fields = Fields(self)
        fields.name("name")
        fields.instance("input", str)
        arrayed = fields.int_array("values")
        if arrayed:
            sizes = [1 << bits for bits in range(1, MAX_TABLE_BITS + 1)]
            if self.values.ndim != 1 or self.values.size not in sizes:
                fields.problems.append(
                    f"values must have shape (2**bits,) for 1..{MAX_TABLE_BITS} bits, "
                    f"got {self.values.shape}"
                )
                arrayed = False
        if fields.instance("output", ActType) and arrayed:
            least, most = int(self.values.min()), int(self.values.max())
            if least < self.output.low or most > self.output.high:
                fields.problems.append(
                    f"values must lie in {self.output.low}..{self.output.high}, got {least}..{most}"
                )
        finish(fields, self.name)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the layers read."""
        return (self.input,)

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Shape of the input."""
        return inputs[0]

    def problems(self, inputs: Sequence[Shape]) -> Iterator[str]:
        """List what does not fit inputs of these shapes."""
        yield from shape_problems(self.inputs, inputs)

    def type_problems(self, inputs: Sequence[ActType]) -> Iterator[str]:
        """List what does not fit inputs of these types."""
        wanted = 1 << inputs[0].bits
        if len(self.values) != wanted:
            yield (
                f"needs {wanted} values, one for each integer of '{self.input}', which is "
                f"{inputs[0]}; got {len(self.values)}"
            )

    def output_type(self, inputs: Sequence[ActType]) -> ActType:
        """Type of the values."""
        return self.output

    def compute(self, values: Sequence[IntArray], inputs: Sequence[Tensor]) -> IntArray:
        """Compute the outputs, without checks."""
        return np.asarray(self.values[values[0] - inputs[0].type.low])
