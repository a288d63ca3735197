"""Co-tuning: a search over pruning and hardware together."""

from systolith.tune.design_points import DesignPoint, DesignPoints
from systolith.tune.model import Estimate, HardwareModel
from systolith.tune.objectives import MAXIMIZED, UNITS, Values
from systolith.tune.picking import find_design, load_summary, write_pick
from systolith.tune.space import Axis, AxisKind, DesignSpace
from systolith.tune.study import FrontCallback, Study
from systolith.tune.summary import describe_objectives, summarize_design, summarize_study
from systolith.tune.workers import FailedTask, Workers

__all__ = [
    "MAXIMIZED",
    "UNITS",
    "Axis",
    "AxisKind",
    "DesignPoint",
    "DesignPoints",
    "DesignSpace",
    "Estimate",
    "FailedTask",
    "FrontCallback",
    "HardwareModel",
    "Study",
    "Values",
    "Workers",
    "describe_objectives",
    "find_design",
    "load_summary",
    "summarize_design",
    "summarize_study",
    "write_pick",
]
