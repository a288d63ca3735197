"""The stages from model to report."""

from systolith.stages.checking import check_netlist
from systolith.stages.classifying import Verdict, classify_on_board
from systolith.stages.cycle_costs import CycleCost, apply_pattern
from systolith.stages.errors import UsageError
from systolith.stages.factories import make_data, make_model
from systolith.stages.journal import LOG, Journal, log_in
from systolith.stages.listener import Listener, Silent
from systolith.stages.opening import open_run
from systolith.stages.recipes import bits_of, recipe_of
from systolith.stages.session import STAGES, Session
from systolith.stages.settings import Settings
from systolith.stages.sources import NetworkSource, Source

__all__ = [
    "LOG",
    "STAGES",
    "CycleCost",
    "Journal",
    "Listener",
    "NetworkSource",
    "Session",
    "Settings",
    "Silent",
    "Source",
    "UsageError",
    "Verdict",
    "apply_pattern",
    "bits_of",
    "check_netlist",
    "classify_on_board",
    "log_in",
    "make_data",
    "make_model",
    "open_run",
    "recipe_of",
]
