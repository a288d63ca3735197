"""The cycle model: exact times of all transfers, and the queue depths that follow from them."""

from systolith.plan.cycles.compiling import compiled
from systolith.plan.cycles.events import ADD, ENGINE, FORK, GEARBOX, PARAMETERS, SINK, evaluate
from systolith.plan.cycles.queues import LEAST_DEPTH, sized_queues
from systolith.plan.cycles.timeline import Timeline, timeline

__all__ = [
    "ADD",
    "ENGINE",
    "FORK",
    "GEARBOX",
    "LEAST_DEPTH",
    "PARAMETERS",
    "SINK",
    "Timeline",
    "compiled",
    "evaluate",
    "sized_queues",
    "timeline",
]
