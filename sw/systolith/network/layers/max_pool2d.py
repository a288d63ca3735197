"""Maximum pooling."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from systolith.network._fields import Fields
from systolith.network.layers._inputs import finish, shape_problems
from systolith.network.layers._window import (
    Padding,
    check_kernel,
    check_window,
    image_problems,
    view_windows,
    window_shape,
)
from systolith.network.numbers import ActType, IntArray
from systolith.network.tensor import Shape, Tensor

__all__ = ["MaxPool2d"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MaxPool2d:
    """Maximum over windows, with the type of the input. Padding is never the maximum.

    Parameters
    ----------
    kernel_size, stride : pair of int
        Vertical, horizontal; 1..65535 and at least 1.
    padding : Padding
        At top, bottom, left, right; smaller than the kernel on each side.

    Raises
    ------
    NetworkError
        With every problem of the layer.
    """

    name: str
    input: str
    kernel_size: tuple[int, int]
    stride: tuple[int, int]
    padding: Padding = (0, 0, 0, 0)

    def __post_init__(self) -> None:
        fields = Fields(self)
        fields.name("name")
        fields.instance("input", str)
        usable = check_kernel(fields, self)
        check_window(fields, self, self.kernel_size if usable else None)
        finish(fields, self.name)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the layers read."""
        return (self.input,)

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Shape (C, Ho, Wo)."""
        return inputs[0][0], *window_shape(self, self.kernel_size, inputs[0])

    def problems(self, inputs: Sequence[Shape]) -> Iterator[str]:
        """List what does not fit inputs of these shapes."""
        if unfit := shape_problems(self.inputs, inputs):
            yield from unfit
        else:
            yield from image_problems(self, self.kernel_size, self.input, inputs[0])

    def output_type(self, inputs: Sequence[ActType]) -> ActType:
        """Type of the input."""
        return inputs[0]

    def compute(self, values: Sequence[IntArray], inputs: Sequence[Tensor]) -> IntArray:
        """Compute the outputs, without checks."""
        lowest = inputs[0].type.low
        windows = view_windows(values[0], self.kernel_size, self.stride, self.padding, lowest)
        return np.asarray(windows.max(axis=(-2, -1)))
