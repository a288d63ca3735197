"""Geometry of a window that slides over frames in a circular buffer.

Input pixels are numbered in raster order, and the numbers continue from frame to frame. A window
buffer holds the pixels from the oldest that a later window reads to the newest that has arrived.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import ceil

import numpy as np

from systolith.network import Padding

__all__ = ["Window"]


@dataclass(frozen=True, kw_only=True)
class Window:
    """A kernel that slides over images of one size.

    Parameters
    ----------
    height, width : int
        Size of the input image in pixels.
    kernel : pair of int
        Rows and columns of taps.
    stride : pair of int
        Vertical, horizontal.
    padding : Padding
        Rows and columns added at top, bottom, left, right; negative ones are cut off.
    dilation : pair of int
        Distance between neighbouring taps: vertical, horizontal.
    repeats : pair of int
        How often each row and column of the image is repeated; 1 unless the kernel has one tap.
    edge : bool
        Whether padding reads the nearest pixel of the image; only if the kernel has one tap.
    """

    height: int
    width: int
    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: Padding = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)
    repeats: tuple[int, int] = (1, 1)
    edge: bool = False

    @property
    def input_pixels(self) -> int:
        """Pixels of one input frame."""
        return self.height * self.width

    @property
    def reach(self) -> tuple[int, int]:
        """Rows and columns from the first tap to the last, both included."""
        return (
            (self.kernel[0] - 1) * self.dilation[0] + 1,
            (self.kernel[1] - 1) * self.dilation[1] + 1,
        )

    @property
    def output_size(self) -> tuple[int, int]:
        """Output rows and columns."""
        top, bottom, left, right = self.padding
        rows, columns = self.reach
        return (
            (self.height * self.repeats[0] + top + bottom - rows) // self.stride[0] + 1,
            (self.width * self.repeats[1] + left + right - columns) // self.stride[1] + 1,
        )

    @property
    def output_pixels(self) -> int:
        """Pixels of one output frame."""
        rows, columns = self.output_size
        return rows * columns

    @property
    def taps(self) -> int:
        """Kernel positions."""
        return self.kernel[0] * self.kernel[1]

    @property
    def positions(self) -> list[tuple[int, int]]:
        """Row and column of each tap in the kernel, in raster order."""
        return [divmod(tap, self.kernel[1]) for tap in range(self.taps)]

    def offset(self, row: int, column: int) -> int:
        """Pixels from a window's first tap to the tap in this row and column of the kernel."""
        return row * self.dilation[0] * self.width + column * self.dilation[1]

    @property
    def padded(self) -> bool:
        """Whether any window reaches into padding."""
        return max(self.padding) > 0 and not self.edge

    def start(self, row: int, column: int) -> tuple[int, int]:
        """Row and column of the image that a window's first tap reads; outside in the padding."""
        top, _, left, _ = self.padding
        y = (row * self.stride[0] - top) // self.repeats[0]
        x = (column * self.stride[1] - left) // self.repeats[1]
        if self.edge:
            return min(max(y, 0), self.height - 1), min(max(x, 0), self.width - 1)
        return y, x

    def origin(self, row: int, column: int) -> int:
        """Pixel number of a window's first tap, relative to its frame; negative in the padding."""
        first_row, first_column = self.start(row, column)
        return first_row * self.width + first_column

    @cached_property
    def rows_inside(self) -> tuple[tuple[int, ...], ...]:
        """Kernel rows that lie inside the image, for each output row."""
        starts = (self.start(row, 0)[0] for row in range(self.output_size[0]))
        return tuple(
            _inside(start, self.kernel[0], self.dilation[0], self.height) for start in starts
        )

    @cached_property
    def columns_inside(self) -> tuple[tuple[int, ...], ...]:
        """Kernel columns that lie inside the image, for each output column."""
        starts = (self.start(0, column)[1] for column in range(self.output_size[1]))
        return tuple(
            _inside(start, self.kernel[1], self.dilation[1], self.width) for start in starts
        )

    def needed(self) -> Iterator[int]:
        """Yield, for each window of a frame, how many of its pixels must have arrived.

        At least one, so that windows in the padding do not run ahead of their frame.
        """
        needed = 1
        for row, rows in enumerate(self.rows_inside):
            for column, columns in enumerate(self.columns_inside):
                # A window that reads padding only needs no more than the one before.
                if rows and columns:
                    last = self.offset(rows[-1], columns[-1])
                    needed = self.origin(row, column) + last + 1
                yield needed

    def freed(self) -> Iterator[int]:
        """Yield, for each window of a frame, how many of its pixels no later window reads."""
        rows, columns = self.output_size
        freed = 0
        for number in range(1, rows * columns):
            row, column = divmod(number, columns)
            # With wide padding, the next row's first window begins before the last one of this row.
            later = [self.origin(row, column), self.input_pixels]
            if row + 1 < rows:
                later.append(max(self.start(row + 1, 0)[0], 0) * self.width)
            freed = max(freed, min(later))
            yield freed
        yield self.input_pixels

    @cached_property
    def span(self) -> int:
        """Most pixels that must be held at once for a window to be complete."""
        freed = [0, *self.freed()]
        return max(needed - free for needed, free in zip(self.needed(), freed, strict=False))

    @cached_property
    def steady_span(self) -> int:
        """Most pixels to hold if pixels arrive, and windows are computed, at an even pace.

        Each window is computed as long after the first as its place in the frame says, so that even
        the most urgent one has its pixels. A stage that works as early as it can holds no more.
        """
        windows = self.output_pixels
        pace = self.input_pixels / windows
        number = np.arange(windows)
        needed = np.fromiter(self.needed(), np.int64, windows)
        freed = np.fromiter(self.freed(), np.int64, windows)
        behind = (needed - number * pace).max()
        held = (number + 1) * pace + behind - np.concatenate([[0], freed[:-1]])
        return max(self.span, ceil(float(held.max())))

    def pixels_to_hold(self, *, latency: int, cycles: int) -> int:
        """Pixels to hold so that windows never wait if pixels arrive at an even pace.

        An even pace on both sides suffices. So do the pixels for the next output row beside those
        in use, and those that arrive while windows in the padding need no new ones.

        Parameters
        ----------
        latency : int
            Cycles from the end of a window until pixels in its place can be read.
        cycles : int
            Cycles per frame.
        """
        top, bottom, _, _ = self.padding
        row = max(self.stride[0], top + bottom) * self.width + self.stride[1]
        arriving = ceil(latency * self.input_pixels / cycles) + 1
        most = min(self.steady_span + arriving, self.span + row)
        return min(most, 2 * self.input_pixels)


def _inside(start: int, taps: int, distance: int, size: int) -> tuple[int, ...]:
    """List the taps of one axis that lie inside the image, the first one at `start`."""
    return tuple(tap for tap in range(taps) if 0 <= start + tap * distance < size)
