"""Common part of engines whose window buffer has one bank: one word in, one transfer out."""

from dataclasses import dataclass

from systolith.network import Tensor
from systolith.plan.engines.windowed_plan import WindowedPlan
from systolith.plan.sizes.latency import FREE_LATENCY
from systolith.plan.sizes.memory import Memories, MemoryKind

__all__ = ["OneBankPlan"]


@dataclass(frozen=True, kw_only=True)
class OneBankPlan(WindowedPlan):
    """An engine that writes and reads `lanes` channels at a time; a pass gives one transfer.

    Parameters
    ----------
    name, window, output, buffer_depth
        As in :class:`WindowedPlan`.
    input : Tensor
        Activations, of shape (C, H, W).
    lanes : int
        Channels per transfer, in and out; a divisor of the channels on both sides.
    window_memory : MemoryKind
        Memory of the activations.
    """

    input: Tensor
    lanes: int
    window_memory: MemoryKind = MemoryKind.BLOCK

    @property
    def window_memories(self) -> Memories:
        """The window buffer."""
        return Memories(count=1, depth=self.buffer_depth, width=self.lanes * self.input.type.bits)

    @property
    def lanes_in(self) -> int:
        """Channels in one input transfer."""
        return self.lanes

    @property
    def lanes_out(self) -> int:
        """Channels in one output transfer."""
        return self.lanes

    @property
    def words_per_pixel(self) -> int:
        """Transfers of each input pixel."""
        return self.input.shape[0] // self.lanes

    @property
    def banks(self) -> int:
        """The window buffer has one bank."""
        return 1

    @property
    def banks_per_transfer(self) -> int:
        """Banks that one input transfer writes."""
        return 1

    @property
    def slot_folds(self) -> int:
        """Steps for each entry of the table of taps."""
        return 1

    def transfers_of_pass(self, number: int) -> int:
        """Output transfers of a pass."""
        return 1

    @property
    def drain_cycles(self) -> int:
        """Output transfers of a pass."""
        return 1

    @property
    def free_latency(self) -> int:
        """Cycles from the last step of a pixel until its room may be written again."""
        return FREE_LATENCY
