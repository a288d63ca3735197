"""Images made larger by whole numbers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from systolith.network._fields import Fields
from systolith.network.layers._inputs import finish, shape_problems
from systolith.network.layers._window import MAX_KERNEL
from systolith.network.numbers import ActType, IntArray
from systolith.network.tensor import Shape, Tensor

__all__ = ["Upsample"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Upsample:
    """Each pixel repeated: ``y[c, i, j] = x[c, i // vertical, j // horizontal]``.

    A vector is an image of one pixel.

    Parameters
    ----------
    factors : pair of int
        Vertical, horizontal; 1..65535.

    Raises
    ------
    NetworkError
        With every problem of the layer.

    Examples
    --------
    >>> twice = Upsample(name="up", input="input", factors=(1, 2))
    >>> twice.output_shape([(3, 4, 4)])
    (3, 4, 8)
    """

    name: str
    input: str
    factors: tuple[int, int]

    def __post_init__(self) -> None:
        fields = Fields(self)
        fields.name("name")
        fields.instance("input", str)
        if fields.integers("factors", 2) and not all(1 <= by <= MAX_KERNEL for by in self.factors):
            fields.problems.append(f"factors must be 1..{MAX_KERNEL}, got {self.factors}")
        finish(fields, self.name)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the layers read."""
        return (self.input,)

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Shape (C, Ho, Wo)."""
        channels, height, width = (*inputs[0], 1, 1)[:3]
        return channels, height * self.factors[0], width * self.factors[1]

    def problems(self, inputs: Sequence[Shape]) -> Iterator[str]:
        """List what does not fit inputs of these shapes."""
        yield from shape_problems(self.inputs, inputs)

    def output_type(self, inputs: Sequence[ActType]) -> ActType:
        """Type of the input."""
        return inputs[0]

    def compute(self, values: Sequence[IntArray], inputs: Sequence[Tensor]) -> IntArray:
        """Compute the outputs, without checks."""
        rows, columns = self.factors
        images = values[0].reshape(*values[0].shape[:2], *(inputs[0].shape[1:] or (1, 1)))
        return np.asarray(images.repeat(rows, axis=2).repeat(columns, axis=3))
