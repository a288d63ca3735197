"""The number of the greatest channel of each pixel."""

from dataclasses import dataclass
from math import ceil

from systolith.network import Tensor
from systolith.plan.sizes.latency import BUFFER_LATENCY, CREDIT_LATENCY

__all__ = ["ArgMaxPlan"]


@dataclass(frozen=True, kw_only=True)
class ArgMaxPlan:
    """A tree of comparisons over `lanes` channels, then one with the greatest value so far.

    ``cycles = H * W * C / lanes``

    Parameters
    ----------
    name : str
        The layer.
    input, output : Tensor
        Channels, and the class of each pixel.
    lanes : int
        Channels per input transfer, a divisor of the input's channels.
    """

    name: str
    input: Tensor
    output: Tensor
    lanes: int

    @property
    def lanes_in(self) -> int:
        """Channels in one input transfer."""
        return self.lanes

    @property
    def lanes_out(self) -> int:
        """Classes in one output transfer."""
        return 1

    @property
    def pixels(self) -> int:
        """Pixels per frame."""
        return self.output.pixels

    @property
    def transfers_in(self) -> int:
        """Input transfers per pixel."""
        return self.input.shape[0] // self.lanes

    @property
    def transfers_out(self) -> int:
        """Output transfers per pixel."""
        return 1

    @property
    def cycles(self) -> int:
        """Cycles per frame."""
        return self.pixels * self.transfers_in

    @property
    def levels(self) -> int:
        """Levels of the tree, each with registers behind it."""
        return (self.lanes - 1).bit_length()

    @property
    def lane_bits(self) -> int:
        """Width of the number of a lane; 0 if there is one lane."""
        return (self.lanes - 1).bit_length()

    @property
    def latency(self) -> int:
        """Cycles from the last transfer of a pixel to the write of its class.

        Registers: the input, each level of the tree, the greatest value so far.
        """
        return 1 + self.levels + 1

    @property
    def fifo_depth(self) -> int:
        """Classes in flight while one transfer arrives per cycle."""
        in_flight = self.latency + BUFFER_LATENCY + CREDIT_LATENCY
        return ceil(in_flight / self.transfers_in) + 2
