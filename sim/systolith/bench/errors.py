"""Errors before and during a simulation."""

from systolith.foundation import MissingError

__all__ = ["BenchError", "CompileError", "MissingToolError", "SimulationError"]


class BenchError(RuntimeError):
    """A bench that could not be compiled or run."""


class MissingToolError(MissingError, BenchError):
    """Programs or libraries that a simulation needs and this machine lacks."""

    PREFIX = "simulation needs"
    HEADING = "simulation needs tools that are not installed"


class CompileError(BenchError):
    """Verilator or the C++ compiler refused the design; the message ends with their log."""


class SimulationError(BenchError):
    """A simulation that did not finish: a stuck stream, a broken rule, a crash."""
