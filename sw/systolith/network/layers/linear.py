"""Fully connected layers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from systolith.network._fields import Fields
from systolith.network.axes import BoolArray, WeightShape
from systolith.network.layers._accumulating import Accumulating
from systolith.network.layers._inputs import finish, shape_problems
from systolith.network.layers._weights import check_weights, exact_matmul, weighted_range
from systolith.network.numbers import ActType, IntArray, Requantize
from systolith.network.pattern import Pattern
from systolith.network.tensor import Shape, Tensor

__all__ = ["Linear"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Linear(Accumulating):
    """Fully connected layer: ``acc[o] = bias[o] + sum_i weight[o, i] * (in[i] - zero_point)``.

    Parameters and errors as in :class:`Conv2d`; `weight` and `mask` have shape (O, I), `bias` (O,).
    """

    name: str
    input: str
    weight: IntArray
    bias: IntArray
    requantize: Requantize
    output: ActType
    weight_bits: int = 8
    pattern: Pattern = Pattern()
    mask: BoolArray | None = None

    def __post_init__(self) -> None:
        fields = Fields(self)
        fields.name("name")
        fields.instance("input", str)
        check_weights(fields, self, 2)
        finish(fields, self.name)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the layers read."""
        return (self.input,)

    @property
    def weight_shape(self) -> WeightShape:
        """The weights seen as a convolution: (O, I, 1, 1)."""
        outputs, features = self.weight.shape
        return outputs, features, 1, 1

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Shape (O,)."""
        return (self.weight.shape[0],)

    def problems(self, inputs: Sequence[Shape]) -> Iterator[str]:
        """List what does not fit inputs of these shapes."""
        if unfit := shape_problems(self.inputs, inputs):
            yield from unfit
        elif len(inputs[0]) != 1:
            yield f"needs a vector, but '{self.input}' has shape {inputs[0]}; put a Flatten before"
        elif inputs[0][0] != self.weight.shape[1]:
            features = self.weight.shape[1]
            yield f"weights read {features} features, but '{self.input}' has {inputs[0][0]}"

    def accumulate(self, values: Sequence[IntArray], inputs: Sequence[Tensor]) -> IntArray:
        """Add bias, and weights times centred inputs."""
        x = values[0] - inputs[0].type.zero_point
        return exact_matmul(x.astype(np.float64), self.weight) + self.bias

    def accumulator_range(self, inputs: Sequence[Tensor]) -> tuple[int, int]:
        """Compute the range of partial sums over all outputs."""
        return weighted_range(self, inputs[0].type, [(slice(None), slice(None))])
