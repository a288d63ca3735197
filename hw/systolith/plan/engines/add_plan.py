"""Residual addition: two streams, one result per pair."""

from dataclasses import dataclass

from systolith.network import ADDED_MULTIPLIER_BITS
from systolith.plan.engines.pair_plan import PairPlan
from systolith.plan.sizes.latency import MULTIPLIER_LATENCY, ROUNDED_LATENCY, SUM_LATENCY

__all__ = ["AddPlan"]


@dataclass(frozen=True, kw_only=True)
class AddPlan(PairPlan):
    """An addition, `lanes` channels per cycle.

    Parameters
    ----------
    name, output, lanes, inputs, scale_bits, offset_bits, rounds_twice, has_slopes, threshold_bits
        As in :class:`PairPlan`.
    sum_bits : int
        Width of each scaled input and of their sum.
    factor_bits : pair of int
        Widths of the multipliers of both inputs.
    rounds_inputs : bool
        Whether the scaled inputs are shifted right and rounded before they are added.
    """

    factor_bits: tuple[int, int] = (ADDED_MULTIPLIER_BITS, ADDED_MULTIPLIER_BITS)
    rounds_inputs: bool = False

    @property
    def operand_latency(self) -> int:
        """Cycles from a pair of transfers to its sum."""
        rounded = ROUNDED_LATENCY if self.rounds_inputs else 0
        return MULTIPLIER_LATENCY + rounded + SUM_LATENCY
