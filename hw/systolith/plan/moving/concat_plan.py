"""Several streams joined along their channels."""

from dataclasses import dataclass

from systolith.network import Tensor
from systolith.plan.streams.fork_plan import LEAST_DEPTH

__all__ = ["ConcatPlan"]


@dataclass(frozen=True, kw_only=True)
class ConcatPlan:
    """For each pixel the transfers of the first stream, then those of the next, and so on.

    ``cycles = H * W * C / lanes``

    Parameters
    ----------
    name : str
        The layer.
    inputs : tuple of Tensor
        Tensors joined, of one type, height and width.
    output : Tensor
        Result, with the channels of all.
    lanes : int
        Channels per transfer, in and out; divides the channels of each input.
    """

    name: str
    inputs: tuple[Tensor, ...]
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
    def turns(self) -> tuple[int, ...]:
        """Transfers of one pixel of each input."""
        return tuple(tensor.shape[0] // self.lanes for tensor in self.inputs)

    @property
    def cycles(self) -> int:
        """Cycles per frame: one per transfer."""
        return self.pixels * sum(self.turns)

    @property
    def depth(self) -> int:
        """Transfers that the queue behind the inputs holds."""
        return LEAST_DEPTH
