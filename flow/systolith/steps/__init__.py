"""The stages from model to report."""

from systolith.steps.budgets import cycle_cost, with_pattern
from systolith.steps.checking import check_netlist
from systolith.steps.classifying import Verdict, classify_on_board
from systolith.steps.errors import UsageError
from systolith.steps.factories import make_data, make_model
from systolith.steps.journal import LOG, Journal, log_in
from systolith.steps.listener import Listener, Silent
from systolith.steps.opening import open_run
from systolith.steps.recipes import bits_of, recipe_of
from systolith.steps.session import STAGES, Session
from systolith.steps.settings import Settings
from systolith.steps.sources import NetworkSource, Source

__all__ = [
    "LOG",
    "STAGES",
    "Journal",
    "Listener",
    "NetworkSource",
    "Session",
    "Settings",
    "Silent",
    "Source",
    "UsageError",
    "Verdict",
    "bits_of",
    "check_netlist",
    "classify_on_board",
    "cycle_cost",
    "log_in",
    "make_data",
    "make_model",
    "open_run",
    "recipe_of",
    "with_pattern",
]
