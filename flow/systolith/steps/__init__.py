"""The stages from model to report."""

from systolith.steps.budgets import cycle_cost
from systolith.steps.checking import check_netlist
from systolith.steps.classifying import Verdict, classify_on_board
from systolith.steps.errors import UsageError
from systolith.steps.listener import Listener, Silent
from systolith.steps.opening import open_run
from systolith.steps.session import STAGES, Session
from systolith.steps.settings import Settings
from systolith.steps.sources import NetworkSource, Source

__all__ = [
    "STAGES",
    "Listener",
    "NetworkSource",
    "Session",
    "Settings",
    "Silent",
    "Source",
    "UsageError",
    "Verdict",
    "check_netlist",
    "classify_on_board",
    "cycle_cost",
    "open_run",
]
