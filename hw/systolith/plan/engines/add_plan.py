"""Residual addition: two streams, one result per pair."""

from dataclasses import dataclass
from math import ceil

from systolith.network import Tensor
from systolith.plan.engines.latency import CREDIT_LATENCY, SUM_LATENCY, requantize_latency

__all__ = ["AddPlan"]


@dataclass(frozen=True, kw_only=True)
class AddPlan:
    """An addition, `lanes` channels per cycle.

    ``cycles = H * W * ceil(C / lanes)``

    Parameters
    ----------
    name : str
        The layer.
    inputs : pair of Tensor
        Operands, of one shape.
    output : Tensor
        Result, of the same shape.
    lanes : int
        Channels per transfer, in and out.
    sum_bits : int
        Width of each scaled input and of their sum.
    scale_bits : int
        Width of the multiplier of a requantizer; 0 if there is none.
    offset_bits : int
        Width of the addend behind the multiplier; 0 if there are no offsets.
    """

    name: str
    inputs: tuple[Tensor, Tensor]
    output: Tensor
    lanes: int
    sum_bits: int
    scale_bits: int = 16
    offset_bits: int = 0

    @property
    def lanes_in(self) -> int:
        """Channels in one transfer of either input."""
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
    def latency(self) -> int:
        """Cycles from a pair of transfers to the write of their result."""
        return SUM_LATENCY + requantize_latency(self.scale_bits)

    @property
    def fifo_depth(self) -> int:
        """Results in flight while one pair arrives per cycle."""
        return self.latency + CREDIT_LATENCY + 3
