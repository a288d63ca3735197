"""Selection of channels: slices, splits, permutations."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from systolith.network._fields import Fields
from systolith.network.layers._inputs import finish, shape_problems
from systolith.network.numbers import ActType, IntArray
from systolith.network.tensor import Shape, Tensor

__all__ = ["SelectChannels"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SelectChannels:
    """Some channels of an image, or features of a vector, in any order.

    Channel n of the result is channel ``channels[n]`` of the input.

    Parameters
    ----------
    channels : tuple of int
        Numbers of channels of the input, at least one; a number may occur several times.

    Raises
    ------
    NetworkError
        With every problem of the layer.
    """

    name: str
    input: str
    channels: tuple[int, ...]

    def __post_init__(self) -> None:
        fields = Fields(self)
        fields.name("name")
        fields.instance("input", str)
        if fields.integers("channels") and (not self.channels or min(self.channels) < 0):
            fields.problems.append(f"channels must be numbers from 0, got {self.channels}")
        finish(fields, self.name)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the layers read."""
        return (self.input,)

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Shape (channels, H, W), or (features,)."""
        return len(self.channels), *inputs[0][1:]

    def problems(self, inputs: Sequence[Shape]) -> Iterator[str]:
        """List what does not fit inputs of these shapes."""
        if unfit := shape_problems(self.inputs, inputs):
            yield from unfit
        elif max(self.channels) >= inputs[0][0]:
            yield (
                f"selects channel {max(self.channels)}, but '{self.input}' has {inputs[0][0]} "
                "channels"
            )

    def output_type(self, inputs: Sequence[ActType]) -> ActType:
        """Type of the input."""
        return inputs[0]

    def compute(self, values: Sequence[IntArray], inputs: Sequence[Tensor]) -> IntArray:
        """Compute the outputs, without checks."""
        return np.asarray(values[0][:, list(self.channels)])
