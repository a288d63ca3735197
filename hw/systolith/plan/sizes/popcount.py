"""How a PE counts ones: a tree of adders of three bits each, with a register after each level."""

from dataclasses import dataclass
from functools import cache

__all__ = ["CountTree", "count_tree"]

ADDED = 3
"""Bits that become two: their sum, and a carry for the next place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CountTree:
    """The sizes of a Wallace tree.

    Levels add three bits of a place as long as any place has more than two. A carry chain adds the
    two rows that may be left.

    Attributes
    ----------
    bits : int
        Bits that are counted.
    heights : tuple of tuple of int
        Bits of each place, the lowest first: before the first level, and after each.
    """

    bits: int
    heights: tuple[tuple[int, ...], ...]

    @property
    def adds_rows(self) -> bool:
        """Whether two rows are left, so that a carry chain follows."""
        return max(self.heights[-1]) > 1

    @property
    def latency(self) -> int:
        """Cycles from the bits to their count."""
        return len(self.heights) - 1 + self.adds_rows

    @property
    def adders(self) -> int:
        """Adders of three bits."""
        return sum(height // ADDED for level in self.heights[:-1] for height in level)

    @property
    def width(self) -> int:
        """Width of the count."""
        return self.bits.bit_length()

    @property
    def registers(self) -> int:
        """Registers behind the levels and the carry chain."""
        return sum(map(sum, self.heights[1:])) + self.width * self.adds_rows


@cache
def count_tree(bits: int) -> CountTree:
    """Plan the tree that counts a number of bits.

    >>> [count_tree(bits).latency for bits in (1, 2, 3, 4, 8, 64)]
    [0, 1, 1, 2, 4, 10]
    """
    heights: list[tuple[int, ...]] = [(bits,)]
    while max(heights[-1]) > ADDED - 1:
        level = heights[-1]
        sums = [height - height // ADDED * (ADDED - 1) for height in level]
        carries = [0, *(height // ADDED for height in level)]
        places = [a + b for a, b in zip([*sums, 0], carries, strict=True)]
        heights.append(tuple(places if places[-1] else places[:-1]))
    return CountTree(bits=bits, heights=tuple(heights))
