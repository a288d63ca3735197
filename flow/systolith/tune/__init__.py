"""Co-tuning: a search over pruning and hardware together."""

from systolith.tune.designs import Design, Designs
from systolith.tune.model import Estimate, HardwareModel
from systolith.tune.objectives import UNITS, Values
from systolith.tune.space import Axis, AxisKind, Space
from systolith.tune.study import Study
from systolith.tune.workers import Failure, Workers

__all__ = [
    "UNITS",
    "Axis",
    "AxisKind",
    "Design",
    "Designs",
    "Estimate",
    "Failure",
    "HardwareModel",
    "Space",
    "Study",
    "Values",
    "Workers",
]
