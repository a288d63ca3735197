"""Common part of stages of one transfer per cycle whose results wait in an output buffer."""

from dataclasses import dataclass

from systolith.plan.engines.lanewise_plan import LanewisePlan
from systolith.plan.sizes.latency import BUFFER_LATENCY, CREDIT_LATENCY

__all__ = ["BufferedPlan"]


@dataclass(frozen=True, kw_only=True)
class BufferedPlan(LanewisePlan):
    """A stage that computes one transfer per cycle and never stalls behind its inputs.

    Parameters
    ----------
    name, output, lanes
        As in :class:`LanewisePlan`.
    """

    @property
    def latency(self) -> int:
        """Cycles from a transfer to the write of its result."""
        raise NotImplementedError

    @property
    def fifo_depth(self) -> int:
        """Results in flight while one transfer arrives per cycle."""
        return self.latency + BUFFER_LATENCY + CREDIT_LATENCY + 2
