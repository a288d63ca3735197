"""A position that moves over an image in raster order, and constants by position."""

from collections.abc import Hashable, Mapping, Sequence
from itertools import groupby
from typing import Any

from amaranth import C, Module, Mux, Signal, Value

from systolith.gateware.counting import count_laps, is_below

__all__ = ["Raster"]


class Raster:
    """Row and column of the current output pixel; frame follows frame.

    Values that depend on the position are constant over long runs of columns, and equal in most
    rows, so that a few comparisons select them.

    Parameters
    ----------
    m : Module
        Module that gets the counters.
    size : pair of int
        Rows and columns.
    step : Signal
        Move to the next position.
    start : int
        Number of the first position in the first frame.
    """

    def __init__(
        self, m: Module, size: tuple[int, int], step: Signal | Value, *, start: int = 0
    ) -> None:
        rows, self.columns = size
        row, column = divmod(start, self.columns)
        self.column, last = count_laps(m, self.columns, step, "column", start=column)
        self.row, _ = count_laps(m, rows, step & last, "row", start=row)

    def at_position(self, values: Sequence[int], bits: int) -> Value:
        """Select the value of the current position, modulo ``2**bits``.

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
            profile: _select(self.column, {word: C(word, bits) for word in profile}, profile)
            for profile in profiles
        }
        return _select(self.row, by_column, profiles)

    def at_row(self, values: Sequence[int], bits: int) -> Value:
        """Select the value of the current row."""
        return _select(self.row, {value: C(value, bits) for value in values}, values)

    def at_column(self, values: Sequence[int], bits: int) -> Value:
        """Select the value of the current column."""
        return _select(self.column, {value: C(value, bits) for value in values}, values)


def _select(counter: Value, choices: Mapping[Any, Value], keys: Sequence[Hashable]) -> Value:
    """Select ``choices[keys[counter]]`` with a comparison for each run of equal keys.

    Keys that repeat after a power of two need only the lowest bits of the counter.
    """
    for bits in range(len(counter)):
        if all(key == keys[number % (1 << bits)] for number, key in enumerate(keys)):
            counter, keys = counter[:bits], keys[: 1 << bits]
            break
    starts = [next(run) for _, run in groupby(range(len(keys)), key=lambda at: keys[at])]
    selected = choices[keys[starts[-1]]]
    for start, end in reversed(list(zip(starts, starts[1:], strict=False))):
        selected = Mux(is_below(counter, end), choices[keys[start]], selected)
    return selected
