"""Products of two streams, one result per pair."""

from dataclasses import dataclass

from systolith.plan.engines.pair_plan import PairPlan
from systolith.plan.sizes.latency import MULTIPLIER_LATENCY

__all__ = ["MultiplyPlan"]


@dataclass(frozen=True, kw_only=True)
class MultiplyPlan(PairPlan):
    """A product of two tensors, `lanes` channels per cycle; parameters as in :class:`PairPlan`."""

    @property
    def operand_latency(self) -> int:
        """Cycles from a pair of transfers to its product."""
        return MULTIPLIER_LATENCY
