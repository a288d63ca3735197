"""Residual addition: two streams, one result per pair."""

from dataclasses import dataclass

from systolith.network import ADDED_MULTIPLIER_BITS, Tensor
from systolith.plan.engines.lanewise_plan import LanewisePlan
from systolith.plan.sizes.latency import (
    CREDIT_LATENCY,
    MULTIPLIER_LATENCY,
    ROUNDED_LATENCY,
    SUM_LATENCY,
    requantize_latency,
)

__all__ = ["AddPlan"]


@dataclass(frozen=True, kw_only=True)
class AddPlan(LanewisePlan):
    """An addition, `lanes` channels per cycle.

    Parameters
    ----------
    name, output, lanes
        As in :class:`LanewisePlan`.
    inputs : pair of Tensor
        Operands, of the output's shape.
    sum_bits : int
        Width of each scaled input and of their sum.
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
    factor_bits : pair of int
        Widths of the multipliers of both inputs.
    rounds_inputs : bool
        Whether the scaled inputs are shifted right and rounded before they are added.
    """

    inputs: tuple[Tensor, Tensor]
    sum_bits: int
    scale_bits: int = 16
    offset_bits: int = 0
    rounds_twice: bool = False
    has_slopes: bool = False
    threshold_bits: int = 0
    factor_bits: tuple[int, int] = (ADDED_MULTIPLIER_BITS, ADDED_MULTIPLIER_BITS)
    rounds_inputs: bool = False

    @property
    def scaled_latency(self) -> int:
        """Cycles from a pair of transfers to its scaled inputs."""
        return MULTIPLIER_LATENCY + (ROUNDED_LATENCY if self.rounds_inputs else 0)

    @property
    def latency(self) -> int:
        """Cycles from a pair of transfers to the write of their result."""
        scale = requantize_latency(
            self.scale_bits, rounds_twice=self.rounds_twice, threshold_bits=self.threshold_bits
        )
        return self.scaled_latency + SUM_LATENCY + scale

    @property
    def fifo_depth(self) -> int:
        """Results in flight while one pair arrives per cycle."""
        return self.latency + CREDIT_LATENCY + 3
