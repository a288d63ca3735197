"""Errors that are the user's to mend: a clear message and the right exit code."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.markup import escape

from systolith.bench import BuildError, MissingToolError, SimulationError
from systolith.config import ConfigError
from systolith.fpga import MissingProgramError, TooLargeError, ToolError
from systolith.host import BoardError
from systolith.network import NetworkError
from systolith.plan import PlanError
from systolith.prune import PruneError
from systolith.quant import UnsupportedModelError
from systolith.steps import UsageError
from systolith.train import DivergedError

__all__ = ["explained"]

BAD_INPUT = (
    ConfigError,
    MissingProgramError,
    MissingToolError,
    NetworkError,
    PlanError,
    PruneError,
    UnsupportedModelError,
    UsageError,
)
FAILED_CHECK = (
    BoardError,
    BuildError,
    DivergedError,
    SimulationError,
    TooLargeError,
    ToolError,
)
INTERRUPTED = 130


@contextmanager
def explained(console: Console) -> Iterator[None]:
    """Turn foreseen errors into a message and an exit code; others keep their traceback."""
    try:
        yield
    except BAD_INPUT as error:
        _say(console, error)
        raise typer.Exit(2) from error
    except FAILED_CHECK as error:
        _say(console, error)
        raise typer.Exit(1) from error
    except KeyboardInterrupt as error:
        console.print("interrupted; finished stages are kept, run again to go on")
        raise typer.Exit(INTERRUPTED) from error


def _say(console: Console, error: Exception) -> None:
    console.print(f"[bold red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
