"""A function of one activation: a read-only memory for each lane."""

from dataclasses import dataclass
from math import ceil

from systolith.network import Tensor
from systolith.plan.engines.latency import CREDIT_LATENCY, TABLE_LATENCY
from systolith.plan.engines.memory import Memories, MemoryKind

__all__ = ["TablePlan"]


@dataclass(frozen=True, kw_only=True)
class TablePlan:
    """A table, read by `lanes` channels per cycle.

    ``cycles = H * W * ceil(C / lanes)``. With fewer lanes, more channels share a memory.

    Parameters
    ----------
    name : str
        The layer.
    input, output : Tensor
        Activations, of one shape.
    lanes : int
        Channels per transfer, in and out; each lane has its own memory.
    table_memory : MemoryKind
        Memories of the table.
    """

    name: str
    input: Tensor
    output: Tensor
    lanes: int
    table_memory: MemoryKind = MemoryKind.DISTRIBUTED

    @property
    def lanes_in(self) -> int:
        """Channels in one input transfer."""
        return self.lanes

    @property
    def lanes_out(self) -> int:
        """Channels in one output transfer."""
        return self.lanes

    @property
    def pixels(self) -> int:
        """Pixels per frame."""
        return self.output.pixels

    @property
    def transfers_per_pixel(self) -> int:
        """Transfers of one pixel."""
        return ceil(self.output.shape[0] / self.lanes)

    @property
    def cycles(self) -> int:
        """Cycles per frame."""
        return self.pixels * self.transfers_per_pixel

    @property
    def table_memories(self) -> Memories:
        """The tables of all lanes."""
        bits = self.input.type.bits
        return Memories(count=self.lanes, depth=1 << bits, width=self.output.type.bits)

    @property
    def latency(self) -> int:
        """Cycles from a transfer to the write of its result."""
        return TABLE_LATENCY

    @property
    def fifo_depth(self) -> int:
        """Results in flight while one transfer arrives per cycle."""
        return self.latency + CREDIT_LATENCY + 3
