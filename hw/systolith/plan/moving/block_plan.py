"""Blocks of pixels as channels, and channels as blocks of pixels."""

from collections.abc import Iterator
from dataclasses import dataclass

from systolith.plan.engines.one_bank_plan import OneBankPlan
from systolith.plan.sizes.latency import BLOCK_LATENCY
from systolith.plan.sizes.window import Window

__all__ = ["BlockPlan", "SplitWindow"]


@dataclass(frozen=True, kw_only=True)
class SplitWindow(Window):
    """The path over an image whose pixels are split into blocks.

    Each position reads one pixel and gives one row of its block: input row n is read for output
    rows n*r to n*r + r - 1.

    Parameters
    ----------
    rows : int
        Rows r of a block.
    """

    rows: int

    @property
    def output_size(self) -> tuple[int, int]:
        """Rows of the output, and pixels of an input row."""
        return self.height * self.rows, self.width

    def start(self, row: int, column: int) -> tuple[int, int]:
        """Row and column of the pixel that is read."""
        return row // self.rows, column

    def freed(self) -> Iterator[int]:
        """Yield, for each position, how many pixels no later one reads."""
        rows, columns = self.output_size
        for row in range(rows):
            last = row % self.rows == self.rows - 1
            for column in range(columns):
                yield row // self.rows * self.width + (column + 1 if last else 0)

    def pixels_to_hold(self, *, latency: int, cycles: int) -> int:
        """Pixels of two rows: one is read while the next arrives."""
        return 2 * self.width


@dataclass(frozen=True, kw_only=True)
class BlockPlan(OneBankPlan):
    """A line buffer that is written pixel by pixel and read block by block.

    ``cycles = H * W * C / lanes``, of the input or of the output, which have equally many values.

    Parameters
    ----------
    name, window, output, buffer_depth, input, lanes, window_memory
        As in :class:`OneBankPlan`; a :class:`SplitWindow` if channels become pixels, otherwise a
        window of one block.
    rows, columns : int
        Sides of a block.
    """

    rows: int
    columns: int

    @property
    def splits(self) -> bool:
        """Whether channels become pixels."""
        return isinstance(self.window, SplitWindow)

    @property
    def words_per_row(self) -> int:
        """Neighbouring words that are read for one row of a block."""
        words = self.words_per_pixel
        return words // self.rows if self.splits else words * self.columns

    @property
    def row_distance(self) -> int:
        """Words from one row of a block to the next."""
        return self.words_per_row if self.splits else self.window.width * self.words_per_pixel

    @property
    def folds(self) -> int:
        """Steps per pass."""
        return 1

    @property
    def passes(self) -> int:
        """Passes per position: one for each word that is read."""
        return self.words_per_row if self.splits else self.words_per_row * self.rows

    @property
    def latency(self) -> int:
        """Cycles from a step to the write of its output transfer."""
        return BLOCK_LATENCY
