"""Images as vectors."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

from systolith.network._fields import Fields
from systolith.network.layers._inputs import finish, shape_problems
from systolith.network.numbers import ActType, IntArray
from systolith.network.tensor import Shape, Tensor

__all__ = ["Flatten"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Flatten:
    """An image (C, H, W) as a vector (C*H*W,), channels outermost, as in PyTorch."""

    name: str
    input: str

    def __post_init__(self) -> None:
        fields = Fields(self)
        fields.name("name")
        fields.instance("input", str)
        finish(fields, self.name)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the layers read."""
        return (self.input,)

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Shape (C*H*W,)."""
        return (prod(inputs[0]),)

    def problems(self, inputs: Sequence[Shape]) -> Iterator[str]:
        """List what does not fit inputs of these shapes."""
        yield from shape_problems(self.inputs, inputs)

    def output_type(self, inputs: Sequence[ActType]) -> ActType:
        """Type of the input."""
        return inputs[0]

    def compute(self, values: Sequence[IntArray], inputs: Sequence[Tensor]) -> IntArray:
        """Compute the outputs, without checks."""
        return values[0].reshape(len(values[0]), prod(values[0].shape[1:]))
