"""Plans of the streams between engines: forks, gearboxes and the graph that joins all stages."""

from systolith.plan.streams.fork_plan import ForkPlan
from systolith.plan.streams.gearbox_plan import GearboxPlan
from systolith.plan.streams.joining import join, readers_of
from systolith.plan.streams.stage_graph import (
    Edge,
    EnginePlan,
    StageGraph,
    StagePlan,
    WindowedEngine,
    signal_name,
)

__all__ = [
    "Edge",
    "EnginePlan",
    "ForkPlan",
    "GearboxPlan",
    "StageGraph",
    "StagePlan",
    "WindowedEngine",
    "join",
    "readers_of",
    "signal_name",
]
