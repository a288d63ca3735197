"""Errors that the user can correct: messages and exit codes."""

import errno
import os
import re
import select
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import current_thread, main_thread
from types import FrameType

import typer
from rich.console import Console
from rich.markup import escape

__all__ = [
    "BAD_INPUT",
    "BAD_USAGE",
    "CHECK_FAILED",
    "FAILED_CHECK",
    "INTERRUPTED",
    "READER_LEFT",
    "describe_full_disk",
    "explain_errors",
    "find_loaded",
    "print_error",
]

BAD_INPUT = (
    "systolith.bench:MissingToolError",
    "systolith.config:ConfigError",
    "systolith.devices:MissingProgramError",
    "systolith.foundation:UsageError",
    "systolith.network:NetworkError",
    "systolith.plan:PlanError",
    "systolith.prune:PruneError",
    "systolith.quant:UnsupportedModelError",
    "systolith.train:CheckpointError",
    "systolith.train:TrainingError",
)
"""Errors by package, so that naming them loads no package."""
FAILED_CHECK = (
    "systolith.bench:CompileError",
    "systolith.bench:SimulationError",
    "systolith.exchange:DisagreementError",
    "systolith.tflite:KernelDisagreementError",
    "systolith.build:TooLargeError",
    "systolith.devices:OutOfTimeError",
    "systolith.devices:ToolError",
    "systolith.host:BoardError",
    "systolith.train:DivergedError",
)
NO_PLACE = (errno.EACCES, errno.EDQUOT, errno.ENOSPC, errno.EPERM, errno.EROFS)
FULL = re.compile(os.strerror(errno.ENOSPC) + "|disk is full", re.IGNORECASE)
"""Messages of libraries and tools about a full disk."""
ELSEWHERE = "; for results, --output names another folder"
CHECK_FAILED, BAD_USAGE, INTERRUPTED, READER_LEFT = 1, 2, 130, 141
"""Exit codes. The last two are 128 plus the number of the signal, as in a shell."""


@contextmanager
def explain_errors(console: Console, *, traceback: bool = False) -> Iterator[None]:
    """Turn expected errors of the block into a message and an exit code; other errors pass.

    SIGTERM and SIGHUP count as interrupts, which also end all child processes.

    Parameters
    ----------
    console : Console
        Prints the message.
    traceback : bool
        Whether to print the traceback, too.
    """
    try:
        try:
            with _interrupted_by(signal.SIGTERM, signal.SIGHUP):
                yield
        finally:
            _flush()
    except BrokenPipeError as error:
        if not _reader_left():
            raise
        raise typer.Exit(READER_LEFT) from error
    except OSError as error:
        if error.errno is None:
            raise
        print_error(console, _of_the_system(error), traceback=traceback)
        raise typer.Exit(BAD_USAGE) from error
    except KeyboardInterrupt as error:
        console.print("interrupted; finished stages are kept, run again to go on")
        for note in getattr(error, "__notes__", ()):
            console.print(note, highlight=False, soft_wrap=True)
        raise typer.Exit(INTERRUPTED) from error
    except Exception as error:
        for names, code in ((BAD_INPUT, BAD_USAGE), (FAILED_CHECK, CHECK_FAILED)):
            if isinstance(error, find_loaded(names)):
                full = describe_full_disk(str(error))
                print_error(console, full or str(error), traceback=traceback)
                raise typer.Exit(BAD_USAGE if full else code) from error
        raise


def find_loaded(names: Sequence[str]) -> tuple[type[BaseException], ...]:
    """Look up ``package:name``; errors of packages that are not loaded cannot have been raised."""
    pairs = (name.split(":") for name in names)
    classes = (getattr(sys.modules.get(package), name, None) for package, name in pairs)
    return tuple(error for error in classes if error is not None)


def print_error(console: Console, text: str, *, traceback: bool = False) -> None:
    """Print an error message, and the traceback of the present exception if wanted."""
    if traceback:
        console.print_exception()
    console.print(f"[bold red]error:[/] {escape(text)}", highlight=False, soft_wrap=True)


def describe_full_disk(text: str) -> str | None:
    """Return the line of an error about a full disk, with advice; None if there is no such line."""
    line = next((line for line in text.splitlines() if FULL.search(line)), None)
    return None if line is None else f"{line.strip()}{ELSEWHERE}"


def _of_the_system(error: OSError) -> str:
    """Name the file and the problem."""
    name = f"'{os.fspath(error.filename)!s}': " if error.filename is not None else ""
    remedy = ELSEWHERE if error.errno in NO_PLACE else ""
    return f"{name}{error.strerror}{remedy}"


def _flush() -> None:
    if sys.stdout is not None:
        sys.stdout.flush()


def _reader_left() -> bool:
    """Whether the reader of standard output has left; then redirect the rest to nowhere."""
    descriptor = sys.stdout.fileno()
    poll = select.poll()
    poll.register(descriptor, 0)
    left = any(event & select.POLLERR for _, event in poll.poll(0))
    if left:
        os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
    return left


@contextmanager
def _interrupted_by(*signals: signal.Signals) -> Iterator[None]:
    """Let signals raise KeyboardInterrupt, unless another handler is installed."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    ours = []
    if current_thread() is main_thread():
        ours = [number for number in signals if signal.getsignal(number) is signal.SIG_DFL]
    for number in ours:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)
