"""Average pooling."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import lcm

import numpy as np

from systolith.network._fields import Fields
from systolith.network.layers._accumulating import Accumulating
from systolith.network.layers._inputs import finish, shape_problems
from systolith.network.layers._window import (
    Padding,
    check_kernel,
    check_window,
    count_inside,
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

    ``acc[c, y, x] = factor[y, x] * sum_ij (in[c, ...] - zero_point)``; padding adds zero.

    If all windows have the same area, it is the divisor, and the factors are 1. If padding is left
    out of the area, the divisor is the least common multiple of all areas, and each factor is the
    divisor over the area of its window. So one multiplier divides all windows exactly alike.

    Parameters
    ----------
    kernel_size : pair of int, optional
        None is global pooling: one window, the whole image, no padding.
    stride, padding
        As in :class:`MaxPool2d`.
    counted : Padding, optional
        The part of the padding that is in the area of a window; the rest leaves the area smaller.
        None counts all of it: every area is that of the kernel.

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
    counted: Padding | None = None

    def __post_init__(self) -> None:
        fields = Fields(self)
        fields.name("name")
        fields.instance("input", str)
        usable = self.kernel_size is not None and check_kernel(fields, self)
        typed = check_window(fields, self, self.kernel_size if usable else None)
        if typed and self.kernel_size is None and any(self.padding):
            fields.problems.append(f"global pooling takes no padding, got {self.padding}")
        if self.counted is not None and fields.integers("counted", 4) and typed:
            sides = zip(self.counted, self.padding, strict=True)
            if not all(0 <= counted <= added for counted, added in sides):
                fields.problems.append(
                    f"counted must be at least 0 and at most the padding {self.padding} on each "
                    f"side, got {self.counted}"
                )
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

    def areas(self, shape: Shape) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Count the rows of each output row, and the columns of each output column, in the area.

        Parameters
        ----------
        shape : (C, H, W)
            Of the input.
        """
        kernel, counted = self.window(shape), self.counted
        rows, columns = window_shape(self, kernel, shape)
        if counted is None:
            return (kernel[0],) * rows, (kernel[1],) * columns
        return (
            count_inside(shape[1], kernel[0], self.stride[0], self.padding[:2], counted[:2]),
            count_inside(shape[2], kernel[1], self.stride[1], self.padding[2:], counted[2:]),
        )

    def divisor(self, shape: Shape) -> int:
        """Number that an accumulator of an input of `shape` is divided by: an average is acc/it."""
        rows, columns = self.areas(shape)
        return lcm(*rows) * lcm(*columns)

    def factors(self, shape: Shape) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Factors of each output row and column; the factor of a window is their product."""
        rows, columns = self.areas(shape)
        return (
            tuple(lcm(*rows) // size for size in rows),
            tuple(lcm(*columns) // size for size in columns),
        )

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
        shape = inputs[0].shape
        windows = view_windows(x, self.window(shape), self.stride, self.padding, 0)
        sums = np.asarray(windows.sum(axis=(-2, -1)))
        return sums if self.counted is None else sums * np.multiply.outer(*self.factors(shape))

    def accumulator_range(self, inputs: Sequence[Tensor]) -> tuple[int, int]:
        """Compute the range of the window whose pixels inside the image, times factor, are most."""
        shape, act = inputs[0].shape, inputs[0].type
        if self.counted is None:
            windows = inside(shape, self.window(shape), self.stride, self.padding)
            most = max((y.stop - y.start) * (x.stop - x.start) for y, x in windows)
        else:
            rows, columns = self.factors(shape)
            own_rows, own_columns = replace(self, counted=(0, 0, 0, 0)).areas(shape)
            most = max(np.multiply(rows, own_rows)) * max(np.multiply(columns, own_columns))
        return (act.low - act.zero_point) * int(most), (act.high - act.zero_point) * int(most)
