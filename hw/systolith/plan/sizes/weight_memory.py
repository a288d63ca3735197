"""Which PEs share a memory of weights, and what these memories take."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from math import ceil
from typing import NamedTuple

from systolith.devices import BlockRam
from systolith.plan.sizes.memory import Memories, MemoryKind

__all__ = ["WeightMemory", "WeightTile", "sharing_tile"]

MOST_SHARED = 9
"""Most PEs of a tile. More would be far from their memory, behind long delay lines."""


class WeightTile(NamedTuple):
    """Neighbouring PEs with one memory: the first row and column, and how many of them."""

    row: int
    column: int
    rows: int
    columns: int


@dataclass(frozen=True, slots=True)
class WeightMemory:
    """The memories of an array's weights.

    PE (r, c) of an array reads the word of a step r + c cycles after PE (0, 0). So a tile of
    neighbouring PEs can share a memory whose words are those of all its PEs side by side: registers
    delay the word of each PE by its distance from the first one of the tile.

    Parameters
    ----------
    kind : MemoryKind
    rows, columns : int
        PEs of a tile. Tiles at the lower and right border may have fewer.
    """

    kind: MemoryKind = MemoryKind.BLOCK
    rows: int = 1
    columns: int = 1

    def tiles(self, rows: int, columns: int) -> Iterator[WeightTile]:
        """Yield the tiles of an array, row by row."""
        for row in range(0, rows, self.rows):
            for column in range(0, columns, self.columns):
                height, width = min(self.rows, rows - row), min(self.columns, columns - column)
                yield WeightTile(row, column, height, width)

    def tile_counts(self, rows: int, columns: int) -> Iterator[tuple[int, int, int]]:
        """Yield number, rows and columns of equal tiles of an array."""
        heights = ((rows // self.rows, self.rows), (1, rows % self.rows))
        widths = ((columns // self.columns, self.columns), (1, columns % self.columns))
        for down, height in heights:
            for across, width in widths:
                if down * height * across * width:
                    yield down * across, height, width

    def memories(self, rows: int, columns: int, *, depth: int, width: int) -> tuple[Memories, ...]:
        """List the memories of an array; `width` bits are the word of one PE."""
        counts = Counter[int]()
        for count, height, breadth in self.tile_counts(rows, columns):
            counts[height * breadth] += count
        return tuple(
            Memories(count=count, depth=depth, width=pes * width) for pes, count in counts.items()
        )

    def delays(self, rows: int, columns: int) -> int:
        """Add up the cycles by which words of an array's PEs are delayed within their tiles."""
        return sum(
            count * height * width * (height + width - 2) // 2
            for count, height, width in self.tile_counts(rows, columns)
        )

    def addresses(self, rows: int, columns: int) -> int:
        """Count the registers that addresses pass on their way along the rows."""
        last = (ceil(columns / self.columns) - 1) * self.columns
        return ceil(rows / self.rows) * (last + 1)


@cache
def sharing_tile(
    rows: int, columns: int, depth: int, width: int, block: BlockRam
) -> tuple[int, int]:
    """Rows and columns of the tiles with which an array takes the fewest blocks.

    Of equal ones, those with the shortest delay lines; without any gain, single PEs.
    """

    def cost(tile: tuple[int, int]) -> tuple[int, int]:
        memory = WeightMemory(MemoryKind.BLOCK, *tile)
        blocks = sum(
            count * blocks_of[height * breadth]
            for count, height, breadth in memory.tile_counts(rows, columns)
        )
        return blocks, memory.delays(rows, columns)

    most = min(MOST_SHARED, rows * columns)
    blocks_of = [
        Memories(count=1, depth=depth, width=pes * width).blocks(block) for pes in range(most + 1)
    ]
    tiles = [
        (down, across)
        for down in range(1, min(rows, most) + 1)
        for across in range(1, min(columns, most // down) + 1)
    ]
    return min(tiles, key=cost)
