"""Common part of stages that take and give the same number of channels per cycle."""

from dataclasses import dataclass
from math import ceil

from systolith.network import Tensor

__all__ = ["LanewisePlan"]


@dataclass(frozen=True, kw_only=True)
class LanewisePlan:
    """A stage of `lanes` channels per cycle.

    ``cycles = H * W * ceil(C / lanes)``

    Parameters
    ----------
    name : str
        The layer.
    output : Tensor
        Result.
    lanes : int
        Channels per transfer, in and out.
    """

    name: str
    output: Tensor
    lanes: int

    @property
    def lanes_in(self) -> int:
        """Channels in one transfer of each input."""
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
        """Output transfers of one pixel."""
        return ceil(self.output.shape[0] / self.lanes)

    @property
    def cycles(self) -> int:
        """Cycles per frame."""
        return self.pixels * self.transfers_per_pixel
