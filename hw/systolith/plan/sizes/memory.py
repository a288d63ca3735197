"""How many blocks, or how many LUTs, the memories of an engine take."""

from dataclasses import dataclass
from enum import Enum
from math import ceil

from systolith.devices import BlockRam

__all__ = ["Memories", "MemoryKind"]

RAM_DEPTH, RAM_WIDTH, RAM_LUTS = 16, 4, 6
"""A distributed RAM of an ECP5 slice trio: words, bits, and the LUTs that it takes from logic."""
ROM_DEPTH = 16
"""Words of one bit that a LUT holds."""
LOAD_LUTS = 10
"""LUTs that control the loading of one memory."""


NARROWEST_WORD = 9
"""Bits of the narrowest shape in which all bits of a block can be used."""


class MemoryKind(Enum):
    """What a memory is made of."""

    BLOCK = "block"
    """Block RAM."""
    DISTRIBUTED = "distributed"
    """LUTs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Memories:
    """A number of equal memories.

    Parameters
    ----------
    count : int
        Memories.
    depth : int
        Words of each.
    width : int
        Bits per word.
    """

    count: int
    depth: int
    width: int

    @property
    def bits(self) -> int:
        """Bits of all memories."""
        return self.count * self.depth * self.width

    def blocks(self, block: BlockRam) -> int:
        """Count the blocks of all memories; all blocks of a memory are used in the same shape.

        Blocks of a sufficiently deep shape are side by side; only deeper memories are stacked.
        """
        deep = [(depth, width) for depth, width in block.shapes if depth >= self.depth]
        wide = [(depth, width) for depth, width in deep if width >= NARROWEST_WORD]
        return self.count * min(
            ceil(self.depth / depth) * ceil(self.width / width)
            for depth, width in wide or deep or block.shapes
        )

    def luts(self, *, written: bool) -> int:
        """Estimate the LUTs of all memories, with the multiplexers between parts of the depth.

        The numbers are fitted to the results of yosys for ECP5.
        """
        if not written:
            parts = ceil(self.depth / ROM_DEPTH)
            # The multiplexers beside the LUTs join four parts.
            multiplexers = ceil(3 * (ceil(parts / 4) - 1) / 2)
            return self.count * self.width * (parts + multiplexers)
        parts = ceil(self.depth / RAM_DEPTH)
        rams = RAM_LUTS * parts * ceil(self.width / RAM_WIDTH)
        return self.count * (rams + (self.width * parts if parts > 1 else 0))

    @property
    def load_luts(self) -> int:
        """Estimate the LUTs of all memories that gather bytes and write them word by word."""
        address_bits = (self.depth - 1).bit_length()
        return self.count * (self.width + 2 * address_bits + LOAD_LUTS)
