"""Errors that are the user's to mend: a clear message and the right exit code."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread
from types import FrameType

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
    """Turn foreseen errors into a message and an exit code; others keep their traceback.

    A signal to end is an interrupt: so whatever runs is ended, too.
    """
    try:
        with _interrupted_by(signal.SIGTERM, signal.SIGHUP):
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


@contextmanager
def _interrupted_by(*signals: signal.Signals) -> Iterator[None]:
    """Let signals raise KeyboardInterrupt, where nobody else has said what they do."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    ours = []
    if current_thread() is main_thread():
        ours = [each for each in signals if signal.getsignal(each) is signal.SIG_DFL]
    for each in ours:
        signal.signal(each, interrupt)
    try:
        yield
    finally:
        for each in ours:
            signal.signal(each, signal.SIG_DFL)


def _say(console: Console, error: Exception) -> None:
    console.print(f"[bold red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
