"""Common part of engines that compute one result of two streams."""

from dataclasses import dataclass

from systolith.network import Tensor
from systolith.plan.engines.buffered_plan import BufferedPlan
from systolith.plan.sizes.requantizer_plan import RequantizerPlan

__all__ = ["PairPlan"]


@dataclass(frozen=True, kw_only=True)
class PairPlan(BufferedPlan):
    """An engine that takes a transfer of each of two streams per cycle.

    Parameters
    ----------
    name, output, lanes
        As in :class:`LanewisePlan`.
    inputs : pair of Tensor
        Operands, of the output's shape.
    requantizer : RequantizerPlan
        Of each lane.
    """

    inputs: tuple[Tensor, Tensor]
    requantizer: RequantizerPlan

    @property
    def sum_bits(self) -> int:
        """Width of the value that is requantized."""
        return self.requantizer.sum_bits

    @property
    def operand_latency(self) -> int:
        """Cycles from a joined pair to the value that is requantized."""
        raise NotImplementedError

    @property
    def latency(self) -> int:
        """Cycles from a joined pair to the write of its result."""
        return self.operand_latency + self.requantizer.latency
