"""Residual addition: two streams, one result per pair."""

from dataclasses import dataclass

from systolith.network import ADDED_MULTIPLIER_BITS
from systolith.plan.engines.pair_plan import PairPlan
from systolith.plan.sizes.latency import ROUNDED_LATENCY, SUM_LATENCY, multiplier_latency

__all__ = ["AddPlan"]


@dataclass(frozen=True, kw_only=True)
class AddPlan(PairPlan):
    """An addition, `lanes` channels per cycle.

    Parameters
    ----------
    name, output, lanes, inputs, requantizer
        As in :class:`PairPlan`.
    factor_bits : pair of int
        Widths of the multipliers of both inputs.
    left_shift : int
        Left shift of both products, with the zeros at the end of constant multipliers.
    input_shifts : pair of int, optional
        Right shifts of the scaled inputs, which are rounded before they are added.
    """

    factor_bits: tuple[int, int] = (ADDED_MULTIPLIER_BITS, ADDED_MULTIPLIER_BITS)
    left_shift: int = 0
    input_shifts: tuple[int, int] | None = None

    @property
    def rounds_inputs(self) -> bool:
        """Whether the scaled inputs are shifted right and rounded before they are added."""
        return self.input_shifts is not None

    @property
    def multiply_latency(self) -> int:
        """Cycles from a pair of transfers to both products."""
        return multiplier_latency(*self.factor_bits)

    @property
    def operand_latency(self) -> int:
        """Cycles from a pair of transfers to its sum."""
        rounded = ROUNDED_LATENCY if self.rounds_inputs else 0
        return self.multiply_latency + rounded + SUM_LATENCY
