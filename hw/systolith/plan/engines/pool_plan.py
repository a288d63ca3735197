"""How a pool is folded onto lanes."""

from dataclasses import dataclass

from systolith.network import Tensor, signed_bits
from systolith.plan.engines.latency import (
    FREE_LATENCY,
    POOL_LATENCY,
    READ_LATENCY,
    WEIGH_LATENCY,
    requantize_latency,
)
from systolith.plan.engines.memory import Memories, MemoryKind
from systolith.plan.engines.windowed_plan import WindowedPlan

__all__ = ["PoolPlan"]


@dataclass(frozen=True, kw_only=True)
class PoolPlan(WindowedPlan):
    """Maximum or average pooling: `lanes` channels at a time, one tap per cycle.

    ``cycles = Ho * Wo * taps * ceil(C / lanes)``

    Parameters
    ----------
    name, window, output, buffer_depth
        As in :class:`WindowedPlan`.
    input : Tensor
        Activations, of shape (C, H, W).
    lanes : int
        Channels per transfer, in and out; a divisor of the channels.
    average : bool
        Whether sums are requantized; otherwise maxima are passed on.
    fill : int
        What a tap outside the image reads.
    row_factors, column_factors : tuple of int
        What the sum of a window is multiplied by, for each output row and column, if areas differ.
    scale_bits : int
        Width of the multiplier of a requantizer; 0 if there is none.
    offset_bits : int
        Width of the addend behind the multiplier; 0 if there are no offsets.
    rounds_twice : bool
        Whether requantizers round twice, as TFLite does.
    window_memory : MemoryKind
        Memories of the activations.
    """

    input: Tensor
    lanes: int
    average: bool = False
    fill: int = 0
    row_factors: tuple[int, ...] = ()
    column_factors: tuple[int, ...] = ()
    scale_bits: int = 16
    offset_bits: int = 0
    rounds_twice: bool = False
    window_memory: MemoryKind = MemoryKind.BLOCK

    @property
    def weighs(self) -> bool:
        """Whether sums are multiplied, because areas differ."""
        return any(factor != 1 for factor in (*self.row_factors, *self.column_factors))

    @property
    def window_bits(self) -> int:
        """Width of the sum over a window of differences from the zero point."""
        return self._bits_of(self.window.taps)

    @property
    def sum_bits(self) -> int:
        """Width of what is requantized: a sum over a window, times its factors."""
        if not self.weighs:
            return self.window_bits
        rows, columns = (
            max(factor * len(taps) for factor, taps in zip(factors, inside, strict=True))
            for factors, inside in (
                (self.row_factors, self.window.rows_inside),
                (self.column_factors, self.window.columns_inside),
            )
        )
        return max(self.window_bits, self._bits_of(rows * columns))

    def _bits_of(self, values: int) -> int:
        """Width of the sum of this many differences from the zero point."""
        act = self.input.type
        low, high = (values * (end - act.zero_point) for end in (act.low, act.high))
        return signed_bits(min(low, 0), max(high, 0))

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
        latency = READ_LATENCY + POOL_LATENCY + (WEIGH_LATENCY if self.weighs else 0)
        if not self.average:
            return latency
        return latency + requantize_latency(self.scale_bits, rounds_twice=self.rounds_twice)

    @property
    def free_latency(self) -> int:
        """Cycles from the last step of a pixel until its room may be written again."""
        return FREE_LATENCY
