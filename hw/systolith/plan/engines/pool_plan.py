"""How a pool is folded onto lanes."""

from dataclasses import dataclass

from systolith.network import Tensor, signed_bits
from systolith.plan.engines.latency import requantize_latency
from systolith.plan.engines.memory import Memory, MemoryKind
from systolith.plan.engines.windowed_plan import FREE_LATENCY, READ_LATENCY, WindowedPlan

__all__ = ["PoolPlan"]

POOL_LATENCY = 1
"""Cycles from the activations of a pool's last tap to its maximum or sum."""


@dataclass(frozen=True, kw_only=True)
class PoolPlan(WindowedPlan):
    """Maximum or average pooling: `lanes` channels at a time, one tap per cycle.

    ``cycles = Ho * Wo * taps * ceil(C / lanes)``

    Parameters
    ----------
    name, window, output, buffer_depth
        As :class:`ConvPlan`.
    input : Tensor
        What arrives (C, H, W).
    lanes : int
        Channels per transfer, in and out; a divisor of the channels.
    average : bool
        Whether sums are requantized, instead of maxima passed on.
    scale_bits : int
        Width of the multiplier of a requantizer; 0 if there is none.
    offset_bits : int
        Width of what it adds behind it; 0 if there are no offsets.
    window_memory : MemoryKind
        What activations are kept in.
    """

    input: Tensor
    lanes: int
    average: bool = False
    scale_bits: int = 16
    offset_bits: int = 0
    window_memory: MemoryKind = MemoryKind.BLOCK

    @property
    def sum_bits(self) -> int:
        """Width of the sum over a window, of what differs from the zero point."""
        act, taps = self.input.type, self.window.taps
        low, high = (taps * (end - act.zero_point) for end in (act.low, act.high))
        return signed_bits(min(low, 0), max(high, 0))

    @property
    def window_memories(self) -> Memory:
        """The window buffer."""
        return Memory(count=1, depth=self.buffer_depth, width=self.lanes * self.input.type.bits)

    @property
    def window_bits(self) -> int:
        """Bits of the window buffer."""
        return self.window_memories.bits

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
        """Transfers of each pixel."""
        return self.output.shape[0] // self.lanes

    @property
    def banks(self) -> int:
        """The window buffer has one bank."""
        return 1

    @property
    def banks_per_transfer(self) -> int:
        """Banks that one input transfer writes."""
        return 1

    @property
    def folds(self) -> int:
        """Entries of the table of taps."""
        return self.window.taps

    @property
    def slot_folds(self) -> int:
        """Steps per tap."""
        return 1

    @property
    def passes(self) -> int:
        """Passes per output pixel: one for each word of channels."""
        return self.words_per_pixel

    def transfers_of_pass(self, number: int) -> int:
        """Output transfers of a pass."""
        return 1

    @property
    def drain_cycles(self) -> int:
        """Output transfers of a pass."""
        return 1

    @property
    def latency(self) -> int:
        """Cycles from the last step of a pass to its output transfer."""
        return (
            READ_LATENCY
            + POOL_LATENCY
            + (requantize_latency(self.scale_bits) if self.average else 0)
        )

    @property
    def free_latency(self) -> int:
        """Cycles from the last step of a pixel until its room may be written again."""
        return FREE_LATENCY
