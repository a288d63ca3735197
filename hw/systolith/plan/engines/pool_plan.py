"""How a pool is folded onto lanes."""

from dataclasses import dataclass

from systolith.network import signed_bits
from systolith.plan.engines.one_bank_plan import OneBankPlan
from systolith.plan.sizes.latency import POOL_LATENCY, READ_LATENCY, WEIGH_LATENCY
from systolith.plan.sizes.requantizer_plan import RequantizerPlan

__all__ = ["PoolPlan"]


@dataclass(frozen=True, kw_only=True)
class PoolPlan(OneBankPlan):
    """Maximum or average pooling: `lanes` channels at a time, one tap per cycle.

    ``cycles = Ho * Wo * taps * ceil(C / lanes)``

    Parameters
    ----------
    name, window, output, buffer_depth, input, lanes, window_memory
        As in :class:`OneBankPlan`.
    requantizer : RequantizerPlan, optional
        Of the sum of each lane; without it, maxima are passed on.
    fill : int
        What a tap outside the image reads.
    row_factors, column_factors : tuple of int
        What the sum of a window is multiplied by, for each output row and column, if areas differ.
    """

    requantizer: RequantizerPlan | None = None
    fill: int = 0
    row_factors: tuple[int, ...] = ()
    column_factors: tuple[int, ...] = ()

    @property
    def average(self) -> bool:
        """Whether sums are requantized."""
        return self.requantizer is not None

    @property
    def weighs(self) -> bool:
        """Whether sums are multiplied, because areas differ."""
        return any(factor != 1 for factor in (*self.row_factors, *self.column_factors))

    @property
    def window_bits(self) -> int:
        """Width of the sum over a window of differences from the zero point."""
        return self._bits_of(self.window.taps)

    @property
    def sum_bits(self) -> int:
        """Width of what is requantized: a sum over a window, times its factors."""
        if not self.weighs:
            return self.window_bits
        rows, columns = (
            max(factor * len(taps) for factor, taps in zip(factors, inside, strict=True))
            for factors, inside in (
                (self.row_factors, self.window.rows_inside),
                (self.column_factors, self.window.columns_inside),
            )
        )
        return max(self.window_bits, self._bits_of(rows * columns))

    def _bits_of(self, values: int) -> int:
        """Width of the sum of this many differences from the zero point."""
        act = self.input.type
        low, high = (values * (end - act.zero_point) for end in (act.low, act.high))
        return signed_bits(min(low, 0), max(high, 0))

    @property
    def folds(self) -> int:
        """Entries of the table of taps."""
        return self.window.taps

    @property
    def passes(self) -> int:
        """Passes per output pixel: one for each word of channels."""
        return self.words_per_pixel

    @property
    def latency(self) -> int:
        """Cycles from the last step of a pass to its output transfer."""
        latency = READ_LATENCY + POOL_LATENCY + (WEIGH_LATENCY if self.weighs else 0)
        return latency if self.requantizer is None else latency + self.requantizer.latency
