"""Joining of tensors along their channels."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from systolith.network._fields import Fields, repr_of
from systolith.network.layers._inputs import finish, shape_problems
from systolith.network.numbers import ActType, IntArray
from systolith.network.tensor import Shape, Tensor

__all__ = ["Concat"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Concat:
    """Channels of several tensors, one tensor after the other.

    All inputs have one type, which is the type of the result.

    Parameters
    ----------
    inputs : tuple of str
        The layers joined, at least two; a layer may occur several times.

    Raises
    ------
    NetworkError
        With every problem of the layer.
    """

    name: str
    inputs: tuple[str, ...]

    def __post_init__(self) -> None:
        fields = Fields(self)
        fields.name("name")
        given = self.inputs
        if (
            isinstance(given, tuple | list)
            and len(given) >= 2
            and all(isinstance(name, str) for name in given)
        ):
            object.__setattr__(self, "inputs", tuple(given))
        else:
            fields.problems.append(
                f"inputs must be the names of two or more layers, got {repr_of(given)}"
            )
        finish(fields, self.name)

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Shape (sum of channels, H, W), or (sum of features,)."""
        return sum(shape[0] for shape in inputs), *inputs[0][1:]

    def problems(self, inputs: Sequence[Shape]) -> Iterator[str]:
        """List what does not fit inputs of these shapes."""
        if unfit := shape_problems(self.inputs, inputs):
            yield from unfit
        elif len({shape[1:] for shape in inputs}) > 1:
            yield f"joins tensors of equal height and width, but they have {_listed(self, inputs)}"

    def type_problems(self, inputs: Sequence[ActType]) -> Iterator[str]:
        """List what does not fit inputs of these types."""
        if len(set(inputs)) > 1:
            yield f"joins tensors of one type, but they have {_listed(self, inputs)}"

    def output_type(self, inputs: Sequence[ActType]) -> ActType:
        """Type of the inputs."""
        return inputs[0]

    def compute(self, values: Sequence[IntArray], inputs: Sequence[Tensor]) -> IntArray:
        """Compute the outputs, without checks."""
        return np.concatenate(values, axis=1)


def _listed(layer: Concat, values: Sequence[Shape] | Sequence[ActType]) -> str:
    pairs = zip(layer.inputs, values, strict=True)
    return ", ".join(f"'{name}' {value}" for name, value in pairs)
