"""Progress of a run: the listener protocol, and plain lines for files, pipes and logs."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Protocol, TextIO

from systolith.foundation.progress import Progress

__all__ = ["LOG", "Broadcast", "Journal", "Listener", "Silent", "open_log"]

LOG = "log.txt"
"""Name of the log in the folder of a run."""
INTERVAL_SECONDS = 60.0
"""Longest time between two lines while a stage runs."""
MOST_UNITS = 200

Clock = Callable[[], float]


class Listener(Protocol):
    """Receives the progress of a run."""

    def stage_begins(self, name: str) -> None:
        """Begin a stage."""

    def stage_reruns(self, name: str, reasons: Sequence[str]) -> None:
        """Take the reasons why a stage with an earlier result runs again."""

    def progress(self, progress: Progress) -> None:
        """Take the progress of the stage."""

    def stage_ends(self, name: str, seconds: float, cached: bool) -> None:
        """End a stage; `cached` if an earlier result was used."""


class Silent:
    """A listener that ignores everything."""

    def stage_begins(self, name: str) -> None:
        """Ignore."""

    def stage_reruns(self, name: str, reasons: Sequence[str]) -> None:
        """Ignore."""

    def progress(self, progress: Progress) -> None:
        """Ignore."""

    def stage_ends(self, name: str, seconds: float, cached: bool) -> None:
        """Ignore."""


class Broadcast:
    """A listener that passes everything on to several others."""

    def __init__(self, *others: Listener) -> None:
        self._others = others

    def stage_begins(self, name: str) -> None:
        """Begin a stage in all listeners."""
        for other in self._others:
            other.stage_begins(name)

    def stage_reruns(self, name: str, reasons: Sequence[str]) -> None:
        """Pass reasons to all listeners."""
        for other in self._others:
            other.stage_reruns(name, reasons)

    def progress(self, progress: Progress) -> None:
        """Pass progress to all listeners."""
        for other in self._others:
            other.progress(progress)

    def stage_ends(self, name: str, seconds: float, cached: bool) -> None:
        """End a stage in all listeners."""
        for other in self._others:
            other.stage_ends(name, seconds, cached)


class Journal:
    """A listener that writes a line when a stage begins, advances and ends.

    Parameters
    ----------
    write : callable
        Called with each line, without a line break.
    clock : callable
        Returns seconds since any fixed moment.
    most_units : int
        A stage with at most this many units, such as epochs, gets a line after each unit.
    """

    def __init__(
        self,
        write: Callable[[str], None],
        clock: Clock = time.monotonic,
        *,
        most_units: int = MOST_UNITS,
    ) -> None:
        self._write, self._clock, self._most_units = write, clock, most_units
        self._lock = Lock()
        self._name: str | None = None
        self._began = self._written = 0.0
        self._units = 0
        self._latest: Progress | None = None

    def note(self, text: str) -> None:
        """Write a line that belongs to no stage."""
        self._write(text)

    def task(self, progress: Progress) -> None:
        """Write the progress of work without stages; a task begins when its name first appears."""
        if progress.task != self._name:
            self.stage_begins(progress.task)
        self.progress(progress)

    def stage_begins(self, name: str) -> None:
        """Write that a stage begins."""
        with self._lock:
            self._name, self._began = name, self._clock()
            self._written, self._units, self._latest = self._began, 0, None
            self._write(f"{name}: begins")

    def stage_reruns(self, name: str, reasons: Sequence[str]) -> None:
        """Write why a stage runs again."""
        self._write(f"{name}: runs again: {'; '.join(reasons)}")

    def progress(self, progress: Progress) -> None:
        """Write after each unit if there are few, and once a minute; with the time left."""
        with self._lock:
            self._latest = progress
            units = int(progress.done)
            completed = units > self._units and progress.total <= self._most_units
            if completed or self._clock() - self._written >= INTERVAL_SECONDS:
                self._units = units
                self._write_progress()

    def stage_ends(self, name: str, seconds: float, cached: bool) -> None:
        """Write how long a stage took."""
        with self._lock:
            self._name = None
            self._write(f"{name}: {'cached' if cached else f'done in {seconds:.1f} s'}")

    def beat(self) -> None:
        """Write the latest progress again if a stage has not written for a minute."""
        with self._lock:
            if self._name is not None and self._clock() - self._written >= INTERVAL_SECONDS:
                self._write_progress()

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Write at least one line a minute while the block runs, from a thread of its own."""
        stopped = Event()

        def run() -> None:
            while not stopped.wait(INTERVAL_SECONDS / 10):
                self.beat()

        thread = Thread(target=run, name="journal", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stopped.set()
            thread.join()

    def _write_progress(self) -> None:
        """Write the stage's name, what is done, the activity, and the time left or passed."""
        self._written = now = self._clock()
        passed, latest = now - self._began, self._latest
        if latest is None:
            self._write(f"{self._name}: running for {timedelta(seconds=round(passed))}")
            return
        parts = [f"{self._name}: {latest.done:g} of {latest.total:g}"]
        if latest.text:
            parts.append(latest.text)
        if " left" not in latest.text and 0 < latest.done < latest.total:
            seconds_left = passed * (latest.total - latest.done) / latest.done
            parts.append(f"{timedelta(seconds=round(seconds_left))} left")
        self._write(", ".join(parts))


def open_log(folder: Path) -> Callable[[str], None]:
    """Return a function that appends a line with the time to the log of a folder.

    Each line is written at once. Lines are dropped where the folder cannot be written.
    """

    def write(line: str) -> None:
        with suppress(OSError), _open_file(folder / LOG) as file:
            file.write(f"{datetime.now():%Y-%m-%d %H:%M:%S} {line}\n")

    return write


def _open_file(path: Path) -> TextIO:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("a", encoding="utf-8")
