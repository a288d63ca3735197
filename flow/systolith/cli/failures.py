"""Errors that are the user's to mend: a clear message and the right exit code."""

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
    "explained",
    "full_disk",
    "loaded",
    "say",
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
"""Errors by package, so that none has to be loaded to name them."""
FAILED_CHECK = (
    "systolith.bench:CompileError",
    "systolith.bench:SimulationError",
    "systolith.exchange:DisagreementError",
    "systolith.build:TooLargeError",
    "systolith.devices:ToolError",
    "systolith.host:BoardError",
    "systolith.train:DivergedError",
)
NO_PLACE = (errno.EACCES, errno.EDQUOT, errno.ENOSPC, errno.EPERM, errno.EROFS)
FULL = re.compile(os.strerror(errno.ENOSPC) + "|disk is full", re.IGNORECASE)
"""What libraries and tools say, whose errors have no number any more."""
ELSEWHERE = "; for results, --output names another folder"
CHECK_FAILED, BAD_USAGE, INTERRUPTED, READER_LEFT = 1, 2, 130, 141
"""Exit codes. The last two are 128 and the number of the signal, as in a shell."""


@contextmanager
def explained(console: Console, *, traceback: bool = False) -> Iterator[None]:
    """Turn foreseen errors into a message and an exit code; others pass.

    A signal to end is an interrupt: so whatever runs is ended, too.

    Parameters
    ----------
    console : Console
        Says what is wrong.
    traceback : bool
        Whether it also says where that was found.
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
        say(console, _of_the_system(error), traceback=traceback)
        raise typer.Exit(BAD_USAGE) from error
    except KeyboardInterrupt as error:
        console.print("interrupted; finished stages are kept, run again to go on")
        raise typer.Exit(INTERRUPTED) from error
    except Exception as error:
        for names, code in ((BAD_INPUT, BAD_USAGE), (FAILED_CHECK, CHECK_FAILED)):
            if isinstance(error, loaded(names)):
                full = full_disk(str(error))
                say(console, full or str(error), traceback=traceback)
                raise typer.Exit(BAD_USAGE if full else code) from error
        raise


def loaded(names: Sequence[str]) -> tuple[type[BaseException], ...]:
    """Look up ``package:name``; what is not loaded cannot have been raised."""
    pairs = (name.split(":") for name in names)
    found = (getattr(sys.modules.get(package), name, None) for package, name in pairs)
    return tuple(each for each in found if each is not None)


def say(console: Console, text: str, *, traceback: bool = False) -> None:
    """Print an error; with the traceback of the one that is handled, if wanted."""
    if traceback:
        console.print_exception()
    console.print(f"[bold red]error:[/] {escape(text)}", highlight=False, soft_wrap=True)


def full_disk(text: str) -> str | None:
    """Take from an error the line that tells of a full disk, and say what helps; None if none."""
    line = next((line for line in text.splitlines() if FULL.search(line)), None)
    return None if line is None else f"{line.strip()}{ELSEWHERE}"


def _of_the_system(error: OSError) -> str:
    """Say which file, and what is the matter."""
    name = f"'{os.fspath(error.filename)!s}': " if error.filename is not None else ""
    remedy = ELSEWHERE if error.errno in NO_PLACE else ""
    return f"{name}{error.strerror}{remedy}"


def _flush() -> None:
    if sys.stdout is not None:
        sys.stdout.flush()


def _reader_left() -> bool:
    """Whether nobody reads what is printed; then nothing more is."""
    descriptor = sys.stdout.fileno()
    poll = select.poll()
    poll.register(descriptor, 0)
    left = any(event & select.POLLERR for _, event in poll.poll(0))
    if left:
        os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
    return left


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
