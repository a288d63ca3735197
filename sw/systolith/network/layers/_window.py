"""Windows that slide over images: checks, shapes, and views."""

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from systolith.network._fields import Fields
from systolith.network.numbers import IntArray
from systolith.network.tensor import Shape

__all__ = [
    "Padding",
    "add_padding",
    "check_dilation",
    "check_kernel",
    "check_window",
    "count_inside",
    "image_problems",
    "inside",
    "reach_of",
    "view_windows",
    "window_shape",
]

Padding = tuple[int, int, int, int]
"""Rows and columns added at top, bottom, left, right."""

MAX_KERNEL = 65535


def add_padding(*several: Padding) -> Padding:
    """Add up what is added at each side."""
    top, bottom, left, right = (sum(padding[side] for padding in several) for side in range(4))
    return top, bottom, left, right


class Pool(Protocol):
    """Common fields of MaxPool2d and AvgPool2d."""

    @property
    def kernel_size(self) -> tuple[int, int] | None: ...


class Windowed(Protocol):
    """Common fields of Conv2d, MaxPool2d and AvgPool2d."""

    @property
    def stride(self) -> tuple[int, int]: ...
    @property
    def padding(self) -> Padding: ...


class Dilated(Protocol):
    """Common fields of Conv2d and MaxPool2d."""

    @property
    def dilation(self) -> tuple[int, int]: ...


def reach_of(kernel: tuple[int, int], dilation: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns from the first tap of a kernel to the last, both included."""
    return (kernel[0] - 1) * dilation[0] + 1, (kernel[1] - 1) * dilation[1] + 1


def check_dilation(fields: Fields, layer: Dilated) -> bool:
    """Check the dilation; return whether it is usable."""
    if not fields.integers("dilation", 2):
        return False
    if all(1 <= distance <= MAX_KERNEL for distance in layer.dilation):
        return True
    fields.problems.append(f"dilation must be 1..{MAX_KERNEL}, got {layer.dilation}")
    return False


def check_kernel(fields: Fields, layer: Pool) -> bool:
    """Check the kernel_size of a pool that has one."""
    if not fields.integers("kernel_size", 2):
        return False
    if layer.kernel_size is None or all(1 <= size <= MAX_KERNEL for size in layer.kernel_size):
        return True
    fields.problems.append(f"kernel_size must be 1..{MAX_KERNEL}, got {layer.kernel_size}")
    return False


def check_window(fields: Fields, layer: Windowed, reach: tuple[int, int] | None) -> bool:
    """Check stride, and padding against the reach if known; return whether both are integers."""
    strided, padded = fields.integers("stride", 2), fields.integers("padding", 4)
    if strided and min(layer.stride) < 1:
        fields.problems.append(f"stride must be at least 1, got {layer.stride}")
    if padded and reach is not None:
        top, bottom, left, right = layer.padding
        rows, columns = reach
        if min(layer.padding) < 0 or max(top, bottom) >= rows or max(left, right) >= columns:
            fields.problems.append(
                f"padding must be at least 0 and less than the kernel {reach}, got {layer.padding}"
            )
    return strided and padded


def window_shape(layer: Windowed, reach: tuple[int, int], shape: Shape) -> tuple[int, int]:
    """Count window positions, vertical and horizontal."""
    top, bottom, left, right = layer.padding
    return (
        (shape[1] + top + bottom - reach[0]) // layer.stride[0] + 1,
        (shape[2] + left + right - reach[1]) // layer.stride[1] + 1,
    )


def image_problems(
    layer: Windowed, reach: tuple[int, int] | None, name: str, shape: Shape
) -> Iterator[str]:
    """Check that the window fits the image `name`; a reach of None always fits."""
    if len(shape) != 3:
        yield f"needs an image (C, H, W), but '{name}' has shape {shape}"
    elif reach is not None and min(window_shape(layer, reach, shape)) < 1:
        yield (
            f"kernel {reach} does not fit '{name}' of shape {shape} with padding {layer.padding}"
        )


def view_windows(
    x: IntArray,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: Padding,
    fill: int,
    dilation: tuple[int, int] = (1, 1),
) -> NDArray[np.int64]:
    """View all windows of (N, C, H, W) as (N, C, Ho, Wo, Kh, Kw)."""
    top, bottom, left, right = padding
    padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=fill)
    reach = reach_of(kernel, dilation)
    views = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=(2, 3))
    views = views[:, :, :: stride[0], :: stride[1], :: dilation[0], :: dilation[1]]
    return np.asarray(views)


def inside(
    shape: Shape,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: Padding,
    dilation: tuple[int, int] = (1, 1),
) -> list[tuple[slice, slice]]:
    """List rows and columns of the kernel inside the image, for each window that may matter."""
    rows = _spans(shape[1], kernel[0], stride[0], padding[:2], dilation[0])
    columns = _spans(shape[2], kernel[1], stride[1], padding[2:], dilation[1])
    return [(y, x) for y in rows for x in columns]


def count_inside(
    size: int, kernel: int, stride: int, padding: tuple[int, int], counted: tuple[int, int]
) -> tuple[int, ...]:
    """Count, for each window position along an axis, taps in the image or the counted padding."""
    starts = range(-padding[0], size + padding[1] - kernel + 1, stride)
    return tuple(
        max(min(start + kernel, size + counted[1]) - max(start, -counted[0]), 0) for start in starts
    )


def _spans(
    size: int, kernel: int, stride: int, padding: tuple[int, int], dilation: int
) -> list[slice]:
    """List kernel positions inside an axis; a window that is inside as a whole stands for all."""
    reach = (kernel - 1) * dilation + 1
    starts = range(-padding[0], size + padding[1] - reach + 1, stride)
    first_inside = -padding[0] % stride
    if first_inside in starts and first_inside + reach <= size:
        return [slice(0, kernel)]
    spans = {
        (max(0, -(start // dilation)), min(kernel, -((start - size) // dilation)))
        for start in starts
    }
    return [slice(*span) for span in sorted(spans)]
