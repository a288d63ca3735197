"""Errors before and during a simulation."""

from collections.abc import Sequence

from systolith.foundation import ProblemsError, listed

__all__ = ["BenchError", "CompileError", "MissingToolError", "SimulationError"]


class BenchError(RuntimeError):
    """A bench that could not be compiled or run."""


class MissingToolError(ProblemsError, BenchError):
    """Programs or libraries that a simulation needs and this machine lacks.

    Attributes
    ----------
    missing : tuple of str
        Each tool with the command that installs it.
    problems : tuple of str
        One sentence per tool.
    """

    def __init__(self, missing: Sequence[str]) -> None:
        self.missing = tuple(missing)
        super().__init__(f"simulation needs {tool}" for tool in self.missing)
        self.args = (self.missing,)

    def __str__(self) -> str:
        return listed("simulation needs tools that are not installed", self.missing)


class CompileError(BenchError):
    """Verilator or the C++ compiler refused the design; the message ends with their log."""


class SimulationError(BenchError):
    """A simulation that did not finish: a stuck stream, a broken rule, a crash."""
