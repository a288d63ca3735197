"""What people see while a run goes on: one bar per stage."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from systolith.stages import Journal, Listener, Silent

__all__ = ["ProgressBars", "listening"]


class ProgressBars:
    """A listener that draws a bar for each stage."""

    def __init__(self, progress: Progress) -> None:
        self.bars = progress
        self.task: TaskID | None = None

    def stage_begins(self, name: str) -> None:
        """Start a bar."""
        self.bars.start()
        self.task = self.bars.add_task(name, total=None, text="")

    def stage_reruns(self, name: str, reasons: Sequence[str]) -> None:
        """Say above the bars why a stage runs again."""
        text = f"{name} runs again: {'; '.join(reasons)}"
        self.bars.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def progress(self, done: float, total: float, text: str) -> None:
        """Move the bar."""
        if self.task is not None:
            self.bars.update(self.task, completed=done, total=total, text=text)

    def stage_ends(self, name: str, seconds: float, cached: bool) -> None:
        """Fill the bar; a cached stage says so."""
        if self.task is not None:
            text = "cached" if cached else f"done in {seconds:.1f} s"
            self.bars.update(self.task, completed=1, total=1, text=text)
            self.bars.stop_task(self.task)
            self.task = None


@contextmanager
def listening(console: Console, *, quiet: bool) -> Iterator[Listener]:
    """Draw bars on `console` while the block runs, or write lines if it is no terminal.

    Nothing is shown if `quiet`.
    """
    if quiet:
        yield Silent()
        return
    if not console.is_terminal:
        yield Journal(lambda line: _write_line(console, line))
        return
    columns = (
        TextColumn("{task.description:<10}"),
        BarColumn(bar_width=30),
        TimeElapsedColumn(),
        TextColumn("{task.fields[text]}"),
    )
    progress = Progress(*columns, console=console)
    try:
        yield ProgressBars(progress)
    finally:
        progress.stop()


def _write_line(console: Console, line: str) -> None:
    """Write one line, at once, as it is."""
    console.print(line, markup=False, highlight=False, soft_wrap=True)
    console.file.flush()
