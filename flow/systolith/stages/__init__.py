"""The stages of a run, from a model to a bitstream and its report."""

from systolith.stages.board import BoardResult, classify_on_board
from systolith.stages.cycle_costs import CycleCost, apply_pattern
from systolith.stages.factories import make_data, make_model
from systolith.stages.journal import LOG, Journal, Listener, Silent, open_log
from systolith.stages.netlist import check_netlist
from systolith.stages.recipes import bits_of, recipe_of
from systolith.stages.session import Session, open_run
from systolith.stages.sources import NetworkSource, Source
from systolith.stages.stage import Stage, StageContext

__all__ = [
    "LOG",
    "BoardResult",
    "CycleCost",
    "Journal",
    "Listener",
    "NetworkSource",
    "Session",
    "Silent",
    "Source",
    "Stage",
    "StageContext",
    "apply_pattern",
    "bits_of",
    "check_netlist",
    "classify_on_board",
    "make_data",
    "make_model",
    "open_log",
    "open_run",
    "recipe_of",
]
