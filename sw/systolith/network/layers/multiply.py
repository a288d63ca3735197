"""Products of two tensors."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from systolith.network._fields import Fields
from systolith.network.layers._accumulating import Accumulating
from systolith.network.layers._inputs import check_pair, finish, pair_problems
from systolith.network.numbers import ActType, IntArray, Requantize
from systolith.network.tensor import Shape, Tensor

__all__ = ["Multiply"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Multiply(Accumulating):
    """Product of two tensors, value by value: gates of squeeze-and-excitation, attention.

    ``acc = (a - zero_a) * (b - zero_b)``, then :class:`Requantize`. Both have one shape: an
    :class:`Upsample` repeats one value for each channel over an image, a :class:`SelectChannels`
    one channel.

    Parameters
    ----------
    inputs : pair of str
        The layers multiplied; one layer twice is a square.

    Raises
    ------
    NetworkError
        With every problem of the layer.
    """

    name: str
    inputs: tuple[str, str]
    requantize: Requantize
    output: ActType

    def __post_init__(self) -> None:
        fields = Fields(self)
        fields.name("name")
        check_pair(fields, self, self.inputs)
        fields.instance("requantize", Requantize)
        fields.instance("output", ActType)
        finish(fields, self.name)

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Shape of either input."""
        return inputs[0]

    def problems(self, inputs: Sequence[Shape]) -> Iterator[str]:
        """List what does not fit inputs of these shapes."""
        yield from pair_problems(self.inputs, inputs, "multiplies", self.requantize, self.output)

    def accumulate(self, values: Sequence[IntArray], inputs: Sequence[Tensor]) -> IntArray:
        """Multiply both centred inputs."""
        a, b = (x - tensor.type.zero_point for x, tensor in zip(values, inputs, strict=True))
        return np.asarray(a * b)

    def accumulator_range(self, inputs: Sequence[Tensor]) -> tuple[int, int]:
        """Compute the range of the product."""
        ends = [
            (act.low - act.zero_point, act.high - act.zero_point)
            for act in (tensor.type for tensor in inputs)
        ]
        if self.inputs[0] == self.inputs[1]:
            return 0, max(end * end for end in ends[0])
        products = [a * b for a, b in product(*ends)]
        return min(products), max(products)
