"""Maximum pooling."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from systolith.network._fields import Fields
from systolith.network.layers._inputs import finish, shape_problems
from systolith.network.layers._window import (
    Padding,
    check_dilation,
    check_kernel,
    check_window,
    image_problems,
    inside,
    reach_of,
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
        At top, bottom, left, right; on each side smaller than the dilated kernel.
    dilation : pair of int
        Distance between neighbouring taps, vertical and horizontal; at least 1.

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
    dilation: tuple[int, int] = (1, 1)

    def __post_init__(self) -> None:
        fields = Fields(self)
        fields.name("name")
        fields.instance("input", str)
        usable, dilated = check_kernel(fields, self), check_dilation(fields, self)
        check_window(fields, self, self.reach if usable and dilated else None)
        finish(fields, self.name)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the layers read."""
        return (self.input,)

    @property
    def reach(self) -> tuple[int, int]:
        """Rows and columns from the first tap to the last: the dilated kernel."""
        return reach_of(self.kernel_size, self.dilation)

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Shape (C, Ho, Wo)."""
        return inputs[0][0], *window_shape(self, self.reach, inputs[0])

    def problems(self, inputs: Sequence[Shape]) -> Iterator[str]:
        """List what does not fit inputs of these shapes."""
        if unfit := shape_problems(self.inputs, inputs):
            yield from unfit
            return
        unfit = list(image_problems(self, self.reach, self.input, inputs[0]))
        yield from unfit
        if not unfit and self.dilation != (1, 1):
            spans = inside(inputs[0], self.kernel_size, self.stride, self.padding, self.dilation)
            if any(y.start == y.stop or x.start == x.stop for y, x in spans):
                yield "a window of its dilated kernel lies in the padding as a whole"

    def output_type(self, inputs: Sequence[ActType]) -> ActType:
        """Type of the input."""
        return inputs[0]

    def compute(self, values: Sequence[IntArray], inputs: Sequence[Tensor]) -> IntArray:
        """Compute the outputs, without checks."""
        windows = view_windows(
            values[0],
            self.kernel_size,
            self.stride,
            self.padding,
            fill=inputs[0].type.low,
            dilation=self.dilation,
        )
        return np.asarray(windows.max(axis=(-2, -1)))
