"""A position that moves over an image in raster order, and constants that depend on it."""

from collections.abc import Hashable, Mapping, Sequence
from itertools import groupby
from typing import Any

from amaranth import C, Module, Mux, Signal, Value

__all__ = ["Raster"]


class Raster:
    """Row and column of the output pixel at hand; frame follows frame.

    What depends on a position is constant over long runs of columns, and the same in most rows: so
    choosing it takes a few comparisons.

    Parameters
    ----------
    m : Module
        Where the counters go.
    size : pair of int
        Rows and columns.
    step : Signal
        Move on to the next position.
    """

    def __init__(self, m: Module, size: tuple[int, int], step: Signal) -> None:
        rows, self.columns = size
        self.row, self.column = Signal(range(rows)), Signal(range(self.columns))
        with m.If(step):
            m.d.sync += self.column.eq(self.column + 1)
            with m.If(self.column == self.columns - 1):
                m.d.sync += [self.column.eq(0), self.row.eq(self.row + 1)]
                with m.If(self.row == rows - 1):
                    m.d.sync += self.row.eq(0)

    def at_position(self, values: Sequence[int], bits: int) -> Value:
        """Give the constant that belongs to the position, modulo ``2**bits``.

        Parameters
        ----------
        values : sequence of int
            One for each position of a frame, in raster order.
        bits : int
        """
        words = [value % (1 << bits) for value in values]
        profiles = [
            tuple(words[start : start + self.columns])
            for start in range(0, len(words), self.columns)
        ]
        by_column = {
            profile: _chosen(self.column, {word: C(word, bits) for word in profile}, profile)
            for profile in profiles
        }
        return _chosen(self.row, by_column, profiles)

    def at_row(self, values: Sequence[int], bits: int) -> Value:
        """Give the constant that belongs to the row."""
        return _chosen(self.row, {value: C(value, bits) for value in values}, values)

    def at_column(self, values: Sequence[int], bits: int) -> Value:
        """Give the constant that belongs to the column."""
        return _chosen(self.column, {value: C(value, bits) for value in values}, values)


def _chosen(counter: Signal, choices: Mapping[Any, Value], keys: Sequence[Hashable]) -> Value:
    """Choose ``choices[keys[counter]]``, a comparison for each run of equal keys."""
    starts = [next(run) for _, run in groupby(range(len(keys)), key=lambda at: keys[at])]
    found = choices[keys[starts[-1]]]
    for start, end in reversed(list(zip(starts, starts[1:], strict=False))):
        found = Mux(counter < end, choices[keys[start]], found)
    return found
