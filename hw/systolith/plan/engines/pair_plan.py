"""Common part of engines that compute one result of two streams."""

from dataclasses import dataclass

from systolith.network import Tensor
from systolith.plan.engines.buffered_plan import BufferedPlan
from systolith.plan.engines.requantizing_plan import RequantizingPlan

__all__ = ["PairPlan"]


@dataclass(frozen=True, kw_only=True)
class PairPlan(RequantizingPlan, BufferedPlan):
    """An engine that takes a transfer of each of two streams per cycle.

    Parameters
    ----------
    name, output, lanes
        As in :class:`LanewisePlan`.
    scale_bits, offset_bits, rounds_twice, has_slopes, threshold_bits
        As in :class:`RequantizingPlan`.
    inputs : pair of Tensor
        Operands, of the output's shape.
    sum_bits : int
        Width of the value that is requantized.
    """

    inputs: tuple[Tensor, Tensor]
    sum_bits: int

    @property
    def operand_latency(self) -> int:
        """Cycles from a pair of transfers to the value that is requantized."""
        raise NotImplementedError

    @property
    def latency(self) -> int:
        """Cycles from a pair of transfers to the write of their result."""
        return self.operand_latency + self.scaling_latency
