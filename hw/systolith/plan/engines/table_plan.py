"""A function of one activation: a read-only memory for each lane."""

from dataclasses import dataclass

from systolith.network import Tensor
from systolith.plan.engines.buffered_plan import BufferedPlan
from systolith.plan.sizes.latency import TABLE_LATENCY
from systolith.plan.sizes.memory import Memories, MemoryKind

__all__ = ["TablePlan"]


@dataclass(frozen=True, kw_only=True)
class TablePlan(BufferedPlan):
    """A table, read by `lanes` channels per cycle.

    Each lane has a memory of its own: with fewer lanes, more channels share one.

    Parameters
    ----------
    name, output, lanes
        As in :class:`BufferedPlan`.
    input : Tensor
        Activations, of the output's shape.
    table_memory : MemoryKind
        Memories of the table.
    """

    input: Tensor
    table_memory: MemoryKind = MemoryKind.DISTRIBUTED

    @property
    def table_memories(self) -> Memories:
        """The tables of all lanes."""
        bits = self.input.type.bits
        return Memories(count=self.lanes, depth=1 << bits, width=self.output.type.bits)

    @property
    def latency(self) -> int:
        """Cycles from a transfer to the write of its result."""
        return TABLE_LATENCY
