"""Plain lines of a run's progress: for files, pipes and logs, where no bar can be drawn."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import TextIO

from systolith.stages.listener import Listener

__all__ = ["LOG", "Journal", "Several", "log_in"]

LOG = "log.txt"
"""Of a run, in its folder."""
INTERVAL_SECONDS = 60.0
"""Between two lines of one stage, unless a unit is done, such as an epoch."""
MOST_UNITS = 200
"""Of a stage that has a line for each."""

Clock = Callable[[], float]


class Journal:
    """A listener that writes a line when a stage begins, goes on, and ends.

    Parameters
    ----------
    write : callable
        Gets each line, without its end.
    clock : callable
        Seconds, from any moment.
    """

    def __init__(self, write: Callable[[str], None], clock: Clock = time.monotonic) -> None:
        self._write, self._clock = write, clock
        self._name = ""
        self._began = self._told = 0.0
        self._whole = 0

    def note(self, text: str) -> None:
        """Write a line of its own."""
        self._write(text)

    def task(self, name: str, done: int, total: int) -> None:
        """Write of work that has no stages; it begins when its name is first heard."""
        if name != self._name:
            self.stage_begins(name)
        self.progress(done, total, "")

    def stage_begins(self, name: str) -> None:
        """Write that a stage begins."""
        self._name, self._began = name, self._clock()
        self._told, self._whole = self._began, 0
        self._write(f"{name}: begins")

    def stage_reruns(self, name: str, reasons: Sequence[str]) -> None:
        """Write why a stage runs again."""
        self._write(f"{name}: runs again: {'; '.join(reasons)}")

    def progress(self, done: float, total: float, text: str) -> None:
        """Write after each unit, unless there are many, and once a minute; with the time left."""
        now = self._clock()
        stepped = int(done) > self._whole and total <= MOST_UNITS
        if not stepped and now - self._told < INTERVAL_SECONDS:
            return
        self._told, self._whole = now, int(done)
        left = []
        if " left" not in text and 0 < done < total:
            rest = timedelta(seconds=round((now - self._began) * (total - done) / done))
            left = [f"{rest} left"]
        parts = [f"{self._name}: {done:g} of {total:g}", *filter(None, [text]), *left]
        self._write(", ".join(parts))

    def stage_ends(self, name: str, seconds: float, cached: bool) -> None:
        """Write how long a stage took."""
        self._write(f"{name}: {'cached' if cached else f'done in {seconds:.1f} s'}")


class Several:
    """A listener that tells several others."""

    def __init__(self, *others: Listener) -> None:
        self._others = others

    def stage_begins(self, name: str) -> None:
        """Tell all."""
        for other in self._others:
            other.stage_begins(name)

    def stage_reruns(self, name: str, reasons: Sequence[str]) -> None:
        """Tell all."""
        for other in self._others:
            other.stage_reruns(name, reasons)

    def progress(self, done: float, total: float, text: str) -> None:
        """Tell all."""
        for other in self._others:
            other.progress(done, total, text)

    def stage_ends(self, name: str, seconds: float, cached: bool) -> None:
        """Tell all."""
        for other in self._others:
            other.stage_ends(name, seconds, cached)


def log_in(folder: Path) -> Callable[[str], None]:
    """Write lines with the time to a folder's log, each at once; nothing where that is refused."""

    def write(line: str) -> None:
        with suppress(OSError), _opened(folder / LOG) as file:
            file.write(f"{datetime.now():%Y-%m-%d %H:%M:%S} {line}\n")

    return write


def _opened(path: Path) -> TextIO:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("a", encoding="utf-8")
