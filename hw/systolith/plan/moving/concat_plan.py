"""Several streams joined along their channels."""

from dataclasses import dataclass

from systolith.network import Tensor
from systolith.plan.engines.lanewise_plan import LanewisePlan
from systolith.plan.streams.fork_plan import LEAST_DEPTH

__all__ = ["ConcatPlan"]


@dataclass(frozen=True, kw_only=True)
class ConcatPlan(LanewisePlan):
    """For each pixel the transfers of the first stream, then those of the next, and so on.

    Parameters
    ----------
    name, output
        As in :class:`LanewisePlan`; the output has the channels of all inputs.
    inputs : tuple of Tensor
        Tensors joined, of one type, height and width.
    lanes : int
        Channels per transfer, in and out; divides the channels of each input.
    """

    inputs: tuple[Tensor, ...]

    @property
    def turns(self) -> tuple[int, ...]:
        """Transfers of one pixel of each input."""
        return tuple(tensor.shape[0] // self.lanes for tensor in self.inputs)

    @property
    def depth(self) -> int:
        """Transfers that the queue behind the inputs holds."""
        return LEAST_DEPTH
