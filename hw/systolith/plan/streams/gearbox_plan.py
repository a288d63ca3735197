"""Change of the channels per transfer between two neighbouring engines."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

from systolith.network import Tensor
from systolith.plan.errors import PlanError
from systolith.plan.sizes.latency import GATHER_LATENCY, SPLIT_LATENCY

__all__ = ["GearboxPlan"]


@dataclass(frozen=True, kw_only=True)
class GearboxPlan:
    """Change of the channels per transfer between two engines.

    Pixels are kept apart: a transfer never holds channels of two pixels.

    Parameters
    ----------
    name : str
        The stage.
    tensor : Tensor
        Contents of the stream.
    lanes_in, lanes_out : int
        Channels in one input and output transfer; one divides the other.

    Raises
    ------
    PlanError
        If lanes are below 1, or neither divides the other.
    """

    name: str
    tensor: Tensor
    lanes_in: int
    lanes_out: int

    def __post_init__(self) -> None:
        PlanError.raise_if_any(self._problems())

    @property
    def channels(self) -> int:
        """Channels per pixel."""
        return self.tensor.shape[0]

    @property
    def pixels(self) -> int:
        """Pixels per frame."""
        return self.tensor.pixels

    @property
    def transfers_in(self) -> int:
        """Input transfers per pixel."""
        return ceil(self.channels / self.lanes_in)

    @property
    def transfers_out(self) -> int:
        """Output transfers per pixel."""
        return ceil(self.channels / self.lanes_out)

    @property
    def narrows(self) -> bool:
        """Whether transfers are split."""
        return self.lanes_in > self.lanes_out

    @property
    def parts(self) -> int:
        """Narrow transfers of a wide one."""
        return max(self.lanes_in, self.lanes_out) // min(self.lanes_in, self.lanes_out)

    @property
    def latency(self) -> int:
        """Cycles from the transfer that fills the register to the offer of the first output."""
        return SPLIT_LATENCY if self.narrows else GATHER_LATENCY

    @property
    def cycles(self) -> int:
        """Cycles per frame of the busier side."""
        return self.pixels * max(self.transfers_in, self.transfers_out)

    def _problems(self) -> Iterator[str]:
        narrow, wide = sorted((self.lanes_in, self.lanes_out))
        if narrow < 1:
            yield f"gearbox '{self.name}': lanes must be at least 1, got {narrow}"
        elif wide % narrow:
            yield (
                f"gearbox '{self.name}': lanes in and out must divide one another, "
                f"got {self.lanes_in} and {self.lanes_out}"
            )
