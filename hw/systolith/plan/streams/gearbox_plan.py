"""How many channels per transfer two neighbouring engines use."""

from dataclasses import dataclass
from math import ceil

from systolith.network import Tensor

__all__ = ["GearboxPlan"]


@dataclass(frozen=True, kw_only=True)
class GearboxPlan:
    """Change of the channels per transfer between two engines.

    One of `lanes_in`, `lanes_out` divides the other. Pixels are kept apart: a transfer never
    holds channels of two pixels.
    """

    name: str
    tensor: Tensor
    lanes_in: int
    lanes_out: int

    @property
    def channels(self) -> int:
        """Channels per pixel."""
        return self.tensor.shape[0]

    @property
    def pixels(self) -> int:
        """Pixels per frame."""
        _, *size = self.tensor.shape
        return size[0] * size[1] if size else 1

    @property
    def transfers_in(self) -> int:
        """Input transfers per pixel."""
        return ceil(self.channels / self.lanes_in)

    @property
    def transfers_out(self) -> int:
        """Output transfers per pixel."""
        return ceil(self.channels / self.lanes_out)

    @property
    def cycles(self) -> int:
        """Cycles per frame of the busier side."""
        return self.pixels * max(self.transfers_in, self.transfers_out)
