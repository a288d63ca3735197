"""Products of two streams, one result per pair."""

from dataclasses import dataclass

from systolith.network import Tensor
from systolith.plan.engines.lanewise_plan import LanewisePlan
from systolith.plan.sizes.latency import CREDIT_LATENCY, MULTIPLIER_LATENCY, requantize_latency

__all__ = ["MultiplyPlan"]


@dataclass(frozen=True, kw_only=True)
class MultiplyPlan(LanewisePlan):
    """A product of two tensors, `lanes` channels per cycle.

    Parameters
    ----------
    name, output, lanes
        As in :class:`LanewisePlan`.
    inputs : pair of Tensor
        Factors, of the output's shape.
    sum_bits : int
        Width of a product.
    scale_bits : int
        Width of the multiplier of a requantizer; 0 if there is none.
    offset_bits : int
        Width of the addend behind the multiplier; 0 if there are no offsets.
    rounds_twice : bool
        Whether requantizers round twice, as TFLite does.
    has_slopes : bool
        Whether requantizers multiply negative sums with a factor of their own.
    threshold_bits : int
        Bits of a count of thresholds; 0 if requantizers scale.
    """

    inputs: tuple[Tensor, Tensor]
    sum_bits: int
    scale_bits: int = 16
    offset_bits: int = 0
    rounds_twice: bool = False
    has_slopes: bool = False
    threshold_bits: int = 0

    @property
    def latency(self) -> int:
        """Cycles from a pair of transfers to the write of their result."""
        return MULTIPLIER_LATENCY + requantize_latency(
            self.scale_bits, rounds_twice=self.rounds_twice, threshold_bits=self.threshold_bits
        )

    @property
    def fifo_depth(self) -> int:
        """Results in flight while one pair arrives per cycle."""
        return self.latency + CREDIT_LATENCY + 3
