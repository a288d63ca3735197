"""The number of the greatest channel."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from systolith.network._fields import Fields
from systolith.network.layers._inputs import finish, shape_problems
from systolith.network.numbers import MAX_ACT_BITS, ActType, IntArray
from systolith.network.tensor import Shape, Tensor

__all__ = ["ArgMax"]

MAX_CLASSES = 1 << MAX_ACT_BITS


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ArgMax:
    """The class: number of the greatest feature of a vector, or channel of each pixel.

    Of equal ones the first counts, as in ``torch.argmax``, ONNX and TFLite.

    Parameters
    ----------
    classes : int
        Channels of the input, 1..65,536. The result is unsigned and has the fewest bits that hold
        every class: 4 for 10 classes, 10 for 1,000.

    Raises
    ------
    NetworkError
        With every problem of the layer.
    """

    name: str
    input: str
    classes: int

    def __post_init__(self) -> None:
        fields = Fields(self)
        fields.name("name")
        fields.instance("input", str)
        if fields.integer("classes") and not 1 <= self.classes <= MAX_CLASSES:
            fields.problems.append(f"classes must be 1..{MAX_CLASSES}, got {self.classes}")
        finish(fields, self.name)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the layers read."""
        return (self.input,)

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Shape (1, H, W), or (1,)."""
        return 1, *inputs[0][1:]

    def problems(self, inputs: Sequence[Shape]) -> Iterator[str]:
        """List what does not fit inputs of these shapes."""
        if unfit := shape_problems(self.inputs, inputs):
            yield from unfit
        elif self.classes != inputs[0][0]:
            yield (
                f"finds the greatest of {self.classes} channels, but '{self.input}' has "
                f"{inputs[0][0]}"
            )

    def output_type(self, inputs: Sequence[ActType]) -> ActType:
        """Unsigned type of the classes."""
        return ActType(bits=max((self.classes - 1).bit_length(), 1), signed=False)

    def compute(self, values: Sequence[IntArray], inputs: Sequence[Tensor]) -> IntArray:
        """Compute the outputs, without checks."""
        return np.asarray(values[0].argmax(axis=1, keepdims=True), dtype=np.int64)
