"""How many blocks, or how many LUTs, a memory takes."""

from dataclasses import dataclass
from enum import Enum
from math import ceil

from systolith.devices import BlockRam

__all__ = ["Memory", "MemoryKind"]

RAM_DEPTH, RAM_WIDTH, RAM_LUTS = 16, 4, 6
"""A distributed RAM of an ECP5 slice trio: words, bits, and LUTs that it takes from logic."""
ROM_DEPTH = 16
"""Words of one bit that a LUT holds."""
LOAD_LUTS = 10


class MemoryKind(Enum):
    """What a memory is made of."""

    BLOCK = "block"
    """Block RAM."""
    DISTRIBUTED = "distributed"
    """LUTs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Equal memories of an engine.

    Parameters
    ----------
    count : int
        How many.
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
        """Bits of all together."""
        return self.count * self.depth * self.width

    def blocks(self, block: BlockRam) -> int:
        """Count the blocks of all together; those of one memory are all used in one way."""
        return self.count * min(
            ceil(self.depth / depth) * ceil(self.width / width) for depth, width in block.shapes
        )

    def luts(self, *, written: bool) -> int:
        """Estimate the LUTs of all together, with what chooses between parts of the depth.

        Fitted to what yosys makes of such memories for ECP5.
        """
        if not written:
            parts = ceil(self.depth / ROM_DEPTH)
            # Four parts are joined by the multiplexers beside the LUTs.
            joined = ceil(3 * (ceil(parts / 4) - 1) / 2)
            return self.count * self.width * (parts + joined)
        parts = ceil(self.depth / RAM_DEPTH)
        rams = RAM_LUTS * parts * ceil(self.width / RAM_WIDTH)
        return self.count * (rams + (self.width * parts if parts > 1 else 0))

    @property
    def load_luts(self) -> int:
        """Estimate the LUTs that gather bytes and write them word by word, of all together."""
        address = (self.depth - 1).bit_length()
        return self.count * (self.width + 2 * address + LOAD_LUTS)
