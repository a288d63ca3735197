"""Geometry of a window that slides over frames in a circular buffer.

Input pixels are numbered in raster order, and the numbers continue from frame to frame. A window
buffer holds the pixels from the oldest that a later window reads to the newest that has arrived.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

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
        Height and width of the window.
    stride : pair of int
        Vertical, horizontal.
    padding : Padding
        Rows and columns added at top, bottom, left, right.
    """

    height: int
    width: int
    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: Padding = (0, 0, 0, 0)

    @property
    def input_pixels(self) -> int:
        """Pixels of one input frame."""
        return self.height * self.width

    @property
    def output_size(self) -> tuple[int, int]:
        """Output rows and columns."""
        top, bottom, left, right = self.padding
        return (
            (self.height + top + bottom - self.kernel[0]) // self.stride[0] + 1,
            (self.width + left + right - self.kernel[1]) // self.stride[1] + 1,
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
        """Row and column of each tap, in raster order."""
        return [divmod(tap, self.kernel[1]) for tap in range(self.taps)]

    @property
    def padded(self) -> bool:
        """Whether any window reaches into padding."""
        return any(self.padding)

    def origin(self, row: int, column: int) -> int:
        """Pixel number of a window's first tap, relative to its frame; negative in the padding."""
        return (row * self.stride[0] - self.padding[0]) * self.width + (
            column * self.stride[1] - self.padding[2]
        )

    def newest(self, row: int, column: int) -> int:
        """Pixel number of the last pixel that a window reads, relative to its frame."""
        last_row = row * self.stride[0] - self.padding[0] + self.kernel[0] - 1
        last_column = column * self.stride[1] - self.padding[2] + self.kernel[1] - 1
        return min(last_row, self.height - 1) * self.width + min(last_column, self.width - 1)

    def needed(self) -> Iterator[int]:
        """Yield, for each window of a frame, how many of its pixels must have arrived."""
        rows, columns = self.output_size
        for row in range(rows):
            for column in range(columns):
                yield self.newest(row, column) + 1

    def freed(self) -> Iterator[int]:
        """Yield, for each window of a frame, how many of its pixels no later window reads."""
        rows, columns = self.output_size
        freed = 0
        for number in range(1, rows * columns):
            # With wide padding, the next row's first window begins before the last one of this row.
            freed = max(freed, self.origin(*divmod(number, columns)))
            yield freed
        yield self.input_pixels

    @cached_property
    def span(self) -> int:
        """Most pixels that must be held at once for a window to be complete."""
        freed = [0, *self.freed()]
        return max(needed - free for needed, free in zip(self.needed(), freed, strict=False))

    @property
    def steady_span(self) -> int:
        """Pixels to hold so that windows never wait if pixels arrive at an even pace.

        While one output row is computed, the pixels for the next row must fit beside those in use.
        So must the pixels that arrive while windows in the padding need no new ones.
        """
        top, bottom, _, _ = self.padding
        ahead = max(self.stride[0], top + bottom) * self.width + self.stride[1]
        return min(self.span + ahead, 2 * self.input_pixels)
