"""What can go wrong between Verilog and a bitstream."""

from collections.abc import Sequence
from pathlib import Path

__all__ = ["MissingProgramError", "TooLargeError", "ToolError"]


class MissingProgramError(RuntimeError):
    """Programs that a build needs and this environment lacks.

    Attributes
    ----------
    missing : tuple of str
        Each with the way to install it.
    """

    def __init__(self, missing: Sequence[str]) -> None:
        self.missing = tuple(missing)
        super().__init__(self.missing)

    def __str__(self) -> str:
        lines = "".join(f"\n  - {program}" for program in self.missing)
        return f"the build needs programs that are not installed:{lines}"


class ToolError(RuntimeError):
    """A tool that failed; the message ends with what it said last, and names its whole log."""

    def __init__(self, program: str, status: int, log: Path, last: str) -> None:
        super().__init__(
            f"{program} failed with exit status {status}; its log is {log} and ends:\n{last}"
        )


class TooLargeError(RuntimeError):
    """A design of which a device has too few cells."""
