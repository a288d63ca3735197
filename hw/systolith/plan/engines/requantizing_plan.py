"""Common part of engines that end in requantizers: the widths of a requantizer."""

from dataclasses import dataclass

from systolith.plan.sizes.latency import requantize_latency

__all__ = ["RequantizingPlan"]


@dataclass(frozen=True, kw_only=True)
class RequantizingPlan:
    """An engine whose sums are requantized.

    Parameters
    ----------
    scale_bits : int
        Width of the multiplier of a requantizer; 0 if there is none.
    offset_bits : int
        Width of the addend behind the multiplier; 0 if biases are added in front of it.
    rounds_twice : bool
        Whether requantizers round twice, as TFLite does.
    has_slopes : bool
        Whether requantizers multiply negative sums with a factor of their own.
    threshold_bits : int
        Bits of a count of thresholds; 0 if requantizers scale.
    """

    scale_bits: int = 16
    offset_bits: int = 0
    rounds_twice: bool = False
    has_slopes: bool = False
    threshold_bits: int = 0

    @property
    def scaling_latency(self) -> int:
        """Cycles from a sum to its activation."""
        return requantize_latency(
            self.scale_bits, rounds_twice=self.rounds_twice, threshold_bits=self.threshold_bits
        )
