"""What can go wrong between Verilog and a bitstream."""

from collections.abc import Sequence
from pathlib import Path

__all__ = ["MissingProgramError", "TooLargeError", "ToolError"]


class MissingProgramError(RuntimeError):
    """Programs that the work needs, and that are neither in this environment nor on PATH.

    Attributes
    ----------
    missing : tuple of str
        Each with the way to get it.
    """

    def __init__(self, missing: Sequence[str]) -> None:
        self.missing = tuple(missing)
        super().__init__(self.missing)

    @property
    def problems(self) -> tuple[str, ...]:
        """One sentence for each."""
        return tuple(f"a program is missing, {program}" for program in self.missing)

    def __str__(self) -> str:
        lines = "".join(f"\n  - {program}" for program in self.missing)
        return f"programs are missing:{lines}"


class ToolError(RuntimeError):
    """A tool that failed; the message ends with what it said last, and names its whole log."""

    def __init__(self, program: str, status: int, log: Path, last: str) -> None:
        super().__init__(
            f"{program} failed with exit status {status}; its log is {log} and ends:\n{last}"
        )


class TooLargeError(RuntimeError):
    """A design of which a device has too few cells."""
