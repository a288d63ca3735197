"""Co-tuning: a search over pruning and hardware together."""

from systolith.tune.account import account_of, briefly, objectives_of
from systolith.tune.designs import Design, Designs
from systolith.tune.model import Estimate, HardwareModel
from systolith.tune.objectives import MAXIMIZED, UNITS, Values
from systolith.tune.picking import find_design, load_account, write_pick
from systolith.tune.space import Axis, AxisKind, Space
from systolith.tune.study import Study
from systolith.tune.workers import Failure, Workers

__all__ = [
    "MAXIMIZED",
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
    "account_of",
    "briefly",
    "find_design",
    "load_account",
    "objectives_of",
    "write_pick",
]
