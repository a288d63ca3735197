"""What can go wrong before and during a simulation."""

from collections.abc import Sequence

__all__ = ["BenchError", "BuildError", "MissingToolError", "SimulationError"]


class BenchError(RuntimeError):
    """A bench that could not be built or run."""


class MissingToolError(BenchError):
    """Programs or headers that a simulation needs and this machine lacks.

    Attributes
    ----------
    missing : tuple of str
        Every missing tool, each with the way to install it.
    """

    def __init__(self, missing: Sequence[str]) -> None:
        self.missing = tuple(missing)
        super().__init__(self.missing)

    @property
    def problems(self) -> tuple[str, ...]:
        """One sentence for each."""
        return tuple(f"simulation needs {tool}" for tool in self.missing)

    def __str__(self) -> str:
        lines = "".join(f"\n  - {tool}" for tool in self.missing)
        return f"simulation needs tools that are not installed:{lines}"


class BuildError(BenchError):
    """Verilator or the C++ compiler refused the design; the message ends with what it said."""


class SimulationError(BenchError):
    """A simulation that did not come to its end: a stuck stream, a broken rule, a crash."""
