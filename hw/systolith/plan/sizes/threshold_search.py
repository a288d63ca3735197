"""The search for the number of thresholds that a sum reaches."""

from dataclasses import dataclass

from systolith.plan.sizes.memory import Memories, MemoryKind

__all__ = ["DEEPEST_LUT_MEMORY", "ThresholdSearch"]

DEEPEST_LUT_MEMORY = 128
"""Words up to which LUTs hold the thresholds of a stage; block RAM holds more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ThresholdSearch:
    """A binary search with a stage for each bit of the count, for each lane.

    Stage s reads one of the ``2**s`` thresholds of a channel that the bits before leave over.

    Parameters
    ----------
    bits : int
        Bits of the count.
    lanes : int
        Channels at once.
    transfers : int
        Channels of a lane.
    sum_bits : int
        Width of sums.
    """

    bits: int
    lanes: int
    transfers: int
    sum_bits: int

    @property
    def width(self) -> int:
        """Width of a threshold: that of sums, and one bit for a threshold that none reaches."""
        return self.sum_bits + 1

    @property
    def memories(self) -> tuple[tuple[Memories, MemoryKind], ...]:
        """Memories of each stage, and what they are made of."""
        depths = [self.transfers << stage for stage in range(self.bits)]
        return tuple(
            (Memories(count=self.lanes, depth=depth, width=self.width), memory_of(depth))
            for depth in depths
        )


def memory_of(depth: int) -> MemoryKind:
    """Choose what the memory of a stage is made of."""
    return MemoryKind.DISTRIBUTED if depth <= DEEPEST_LUT_MEMORY else MemoryKind.BLOCK
