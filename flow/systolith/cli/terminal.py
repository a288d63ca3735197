"""Output of commands: results on standard output, progress and errors on standard error."""

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NoReturn, TextIO

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from systolith.foundation import (
    Journal,
    Listener,
    Progress,
    ProgressCallback,
    Silent,
    open_log,
)

__all__ = [
    "FILE_WIDTH",
    "ProgressBars",
    "Terminal",
    "err",
    "listening",
    "out",
    "tracking",
    "width_of",
    "write_line",
]

FILE_WIDTH = 160
"""Columns of output to files and pipes, unless the variable COLUMNS gives another number."""


class Terminal(Console):
    """A console that ends the command when its reader has left, as in ``| head``.

    Colons are colons: rich would print ``:five:`` of ``model:five: ...`` as an emoji.
    """

    def __init__(self, *, width: int | None, stderr: bool = False) -> None:
        super().__init__(width=width, stderr=stderr, emoji=False)

    def on_broken_pipe(self) -> NoReturn:
        """Raise BrokenPipeError again."""
        raise


def width_of(stream: TextIO | None) -> int | None:
    """Return the columns of a stream; None lets rich use those of the terminal, or COLUMNS."""
    in_terminal = stream is not None and stream.isatty()
    return None if in_terminal or "COLUMNS" in os.environ else FILE_WIDTH


QUICK_SECONDS = 10.0
"""A quick task that ends sooner writes no lines of progress."""

out = Terminal(width=width_of(sys.stdout))
err = Terminal(width=width_of(sys.stderr), stderr=True)


class ProgressBars:
    """A listener that draws a bar for each stage."""

    def __init__(self, bars: Bars) -> None:
        self.bars = bars
        self.task: TaskID | None = None

    def stage_begins(self, name: str) -> None:
        """Start a bar."""
        self.bars.start()
        self.task = self.bars.add_task(name, total=None, text="")

    def stage_reruns(self, name: str, reasons: Sequence[str]) -> None:
        """Print above the bars why a stage runs again."""
        text = f"{name} runs again: {'; '.join(reasons)}"
        self.bars.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def progress(self, progress: Progress) -> None:
        """Move the bar."""
        if self.task is not None:
            self.bars.update(
                self.task, completed=progress.done, total=progress.total, text=progress.text
            )

    def stage_ends(self, name: str, seconds: float, cached: bool) -> None:
        """Fill the bar."""
        if self.task is not None:
            text = "cached" if cached else f"done in {seconds:.1f} s"
            self.bars.update(self.task, completed=1, total=1, text=text)
            self.bars.stop_task(self.task)
            self.task = None


@contextmanager
def listening(*, quiet: bool) -> Iterator[Listener]:
    """Show the stages of a run on standard error while the block runs.

    A terminal gets one bar per stage, anything else lines: when a stage begins, ends or finishes a
    unit, and at least once a minute. With `quiet`, nothing is shown.
    """
    if quiet:
        yield Silent()
        return
    if not err.is_terminal:
        journal = Journal(write_line)
        with journal.beating():
            yield journal
        return
    columns = (
        TextColumn("{task.description:<10}"),
        BarColumn(bar_width=30),
        TimeElapsedColumn(),
        TextColumn("{task.fields[text]}"),
    )
    bars = Bars(*columns, console=err)
    try:
        yield ProgressBars(bars)
    finally:
        bars.stop()


@contextmanager
def tracking(
    task: str, folder: Path | None, *, quiet: bool, each_unit: bool = True, quick: bool = False
) -> Iterator[ProgressCallback]:
    """Write lines about one task while the block runs, and yield a callback for its progress.

    Lines go to the log of `folder`, if there is one, and to standard error unless that is a
    terminal or `quiet`. They come as in :func:`listening`; after each unit only if `each_unit`.
    A `quick` task writes no lines in its first :data:`QUICK_SECONDS`.
    """
    writers = [] if folder is None else [open_log(folder)]
    if not quiet and not err.is_terminal:
        writers.append(write_line)
    if quick:
        writers = [_write_after(QUICK_SECONDS, write) for write in writers]
    journals = [Journal(write) if each_unit else Journal(write, most_units=0) for write in writers]
    start = time.perf_counter()
    with ExitStack() as stack:
        for journal in journals:
            stack.enter_context(journal.beating())
            journal.stage_begins(task)

        def report(progress: Progress) -> None:
            for journal in journals:
                journal.progress(progress)

        yield report
        for journal in journals:
            journal.stage_ends(task, time.perf_counter() - start, cached=False)


def _write_after(seconds: float, write: Callable[[str], None]) -> Callable[[str], None]:
    """Return a function that ignores lines until `seconds` have passed."""
    start = time.perf_counter()

    def write_if_late(line: str) -> None:
        if time.perf_counter() - start >= seconds:
            write(line)

    return write_if_late


def write_line(line: str) -> None:
    """Write one line on standard error, as it is and at once."""
    err.print(line, markup=False, highlight=False, soft_wrap=True)
    err.file.flush()
