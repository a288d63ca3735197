"""How a depthwise convolution is folded onto a systolic array."""

from dataclasses import dataclass
from math import ceil

from systolith.plan.engines.conv_plan import ConvPlan

__all__ = ["DepthwisePlan"]


@dataclass(frozen=True, kw_only=True)
class DepthwisePlan(ConvPlan):
    """A depthwise convolution: rows share out the taps, columns the channels.

    A step brings each row one tap of :attr:`group` neighbouring channels; they move right together,
    and each column takes its own.

    ``cycles = Ho * Wo * ceil(taps / rows) * ceil(F / columns)``

    Parameters
    ----------
    multiplicity : int
        Filters per channel; the columns are a multiple of it. `group` is their quotient, and
        `groups_per_transfer` 1.
    """

    multiplicity: int

    @property
    def words_per_pixel(self) -> int:
        """Words of `group` channels in each pixel; the last may be partly empty."""
        return ceil(self.channels / self.group)

    @property
    def index_bits(self) -> int:
        """No weight has a choice."""
        return 0

    @property
    def macs_dense(self) -> int:
        """Multiplications per frame without sparsity."""
        return self.window.output_pixels * self.filters * self.window.taps
