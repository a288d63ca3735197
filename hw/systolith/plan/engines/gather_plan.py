"""How a layer whose filters each keep k weights anywhere is folded onto an array that gathers."""

from dataclasses import dataclass
from math import ceil

from systolith.plan.engines.conv_plan import ConvPlan
from systolith.plan.engines.memory import Memory
from systolith.plan.engines.windowed_plan import FREE_LATENCY

__all__ = ["GatherPlan"]

FETCH_LATENCY = 1
"""Cycles that it reads later than a row's common memory is read."""


@dataclass(frozen=True, kw_only=True)
class GatherPlan(ConvPlan):
    """A layer with k weights per filter: every PE has the whole window, and fetches what it needs.

    Rows share out the k weights, columns the filters.

    ``cycles = Ho * Wo * ceil(k / rows) * ceil(F / columns)``

    `group` is the number of neighbouring channels in a word of the window, `groups_per_transfer` 1.
    """

    @property
    def banks(self) -> int:
        """All memories hold the same."""
        return 1

    @property
    def words_per_pixel(self) -> int:
        """Words of `group` channels in each pixel; the last may be partly empty."""
        return ceil(self.channels / self.group)

    @property
    def index_widths(self) -> tuple[int, int, int]:
        """Widths of what an index says, from the least significant bits: lane, word, tap."""
        sizes = (self.group, self.words_per_pixel, self.window.taps)
        lane, word, tap = ((size - 1).bit_length() for size in sizes)
        return lane, word, tap

    @property
    def index_bits(self) -> int:
        """Width of the position of a kept weight among all that its filter could read."""
        return sum(self.index_widths)

    @property
    def window_memories(self) -> Memory:
        """Those of the PEs, each the whole window."""
        width = self.group * self.input.type.bits
        array = self.array
        return Memory(count=array.rows * array.columns, depth=self.buffer_depth, width=width)

    @property
    def free_latency(self) -> int:
        """Cycles from the last step of a pixel until its room may be written again."""
        return self.array.rows - 1 + FREE_LATENCY + FETCH_LATENCY
