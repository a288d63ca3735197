"""Average pooling."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from systolith.network._fields import Fields
from systolith.network.layers._accumulating import Accumulating
from systolith.network.layers._inputs import finish, shape_problems
from systolith.network.layers._window import (
    Padding,
    check_kernel,
    check_window,
    image_problems,
    inside,
    view_windows,
    window_shape,
)
from systolith.network.numbers import ActType, IntArray, Requantize
from systolith.network.tensor import Shape, Tensor

__all__ = ["AvgPool2d"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AvgPool2d(Accumulating):
    """Sum over windows, requantized; the division by the window's area is part of the multiplier.

    ``acc[c, y, x] = sum_ij (in[c, ...] - zero_point)``; padding counts as zero, and in the area.

    Parameters
    ----------
    kernel_size : pair of int, optional
        None is global pooling: one window, the whole image, no padding.
    stride, padding
        As in :class:`MaxPool2d`.

    Raises
    ------
    NetworkError
        With every problem of the layer.
    """

    name: str
    input: str
    requantize: Requantize
    output: ActType
    kernel_size: tuple[int, int] | None = None
    stride: tuple[int, int] = (1, 1)
    padding: Padding = (0, 0, 0, 0)

    def __post_init__(self) -> None:
        fields = Fields(self)
        fields.name("name")
        fields.instance("input", str)
        usable = self.kernel_size is not None and check_kernel(fields, self)
        typed = check_window(fields, self, self.kernel_size if usable else None)
        if typed and self.kernel_size is None and any(self.padding):
            fields.problems.append(f"global pooling takes no padding, got {self.padding}")
        fields.instance("requantize", Requantize)
        fields.instance("output", ActType)
        finish(fields, self.name)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the layers read."""
        return (self.input,)

    def window(self, shape: Shape) -> tuple[int, int]:
        """Kernel height and width for an input of `shape` (C, H, W)."""
        return self.kernel_size or (shape[1], shape[2])

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Shape (C, Ho, Wo)."""
        return inputs[0][0], *window_shape(self, self.window(inputs[0]), inputs[0])

    def problems(self, inputs: Sequence[Shape]) -> Iterator[str]:
        """List what does not fit inputs of these shapes."""
        if unfit := shape_problems(self.inputs, inputs):
            yield from unfit
            return
        yield from image_problems(self, self.kernel_size, self.input, inputs[0])
        yield from self.requantize.problems(inputs[0][0], self.output)

    def accumulate(self, values: Sequence[IntArray], inputs: Sequence[Tensor]) -> IntArray:
        """Add the centred inputs of each window."""
        x = values[0] - inputs[0].type.zero_point
        windows = view_windows(x, self.window(inputs[0].shape), self.stride, self.padding, 0)
        return np.asarray(windows.sum(axis=(-2, -1)))

    def accumulator_range(self, inputs: Sequence[Tensor]) -> tuple[int, int]:
        """Compute the range of the sum over the window with the most pixels inside the image."""
        shape, act = inputs[0].shape, inputs[0].type
        windows = inside(shape, self.window(shape), self.stride, self.padding)
        area = max((y.stop - y.start) * (x.stop - x.start) for y, x in windows)
        return (act.low - act.zero_point) * area, (act.high - act.zero_point) * area
