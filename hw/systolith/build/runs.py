"""Run place and route for several seeds and routers, some at a time, until the time is over."""

import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from threading import Event

from systolith.build.routers import PATIENCE_S, Attempt
from systolith.build.timing import PlacementReport
from systolith.devices import OutOfTimeError

__all__ = ["Deadline", "Runs"]

POLL_SECONDS = 0.1

Place = Callable[[Attempt, Event, float | None], PlacementReport]
"""Called with a attempt, an event that cancels it, and the seconds that it may take."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """The end of the time of a build.

    Attributes
    ----------
    end : float
        By :func:`time.monotonic`; infinite without a limit.
    """

    end: float = math.inf

    @classmethod
    def after(cls, limit_s: float | None) -> "Deadline":
        """Start a time limit in seconds; None for none."""
        return cls() if limit_s is None else cls(time.monotonic() + limit_s)

    def left_s(self, most: float = math.inf) -> float | None:
        """Return the seconds left, at most `most` and at least 0; None if there is no limit."""
        left = min(max(self.end - time.monotonic(), 0.0), most)
        return None if left == math.inf else left


@dataclass(slots=True)
class Runs:
    """Trials in progress and their results.

    Parameters
    ----------
    place : callable
        Places and routes one attempt, or returns its earlier result.
    waiting : deque of Attempt
    replacements : mapping of Attempt to Attempt
        The attempt that follows if another one does not end in time.
    deadline : Deadline

    Attributes
    ----------
    reports : dict of Attempt to PlacementReport
        Results so far.
    unfinished : list of Attempt
        Trials that have no result because their time was over.
    """

    place: Place
    waiting: deque[Attempt]
    replacements: Mapping[Attempt, Attempt]
    deadline: Deadline
    reports: dict[Attempt, PlacementReport] = field(default_factory=dict)
    unfinished: list[Attempt] = field(default_factory=list)

    def run(self, jobs: int) -> None:
        """Run all attempts; if one fails or the user interrupts, end the others at once.

        An interrupt gets a note that names the finished attempts.
        """
        stop = Event()
        running: dict[Future[PlacementReport], Attempt] = {}
        with ThreadPoolExecutor(jobs) as pool:
            try:
                while self.waiting or running:
                    while self.waiting and len(running) < jobs:
                        attempt = self.waiting.popleft()
                        limit_s = self._limit_s(attempt)
                        running[pool.submit(self.place, attempt, stop, limit_s)] = attempt
                    # The timeout lets this thread, which handles signals, see those of others.
                    finished, _ = wait(running, POLL_SECONDS, FIRST_COMPLETED)
                    for future in finished:
                        self._collect(running.pop(future), future)
            except BaseException as error:
                stop.set()
                pool.shutdown(cancel_futures=True)
                self._keep_finished(running)
                if isinstance(error, KeyboardInterrupt):
                    error.add_note(describe_finished(self.reports))
                raise

    def _keep_finished(self, running: Mapping[Future[PlacementReport], Attempt]) -> None:
        """Keep the results of attempts that ended before they were asked for."""
        for future, attempt in running.items():
            if not future.cancelled() and future.exception() is None:
                self.reports[attempt] = future.result()

    def _limit_s(self, attempt: Attempt) -> float | None:
        return self.deadline.left_s(PATIENCE_S if attempt in self.replacements else math.inf)

    def _collect(self, attempt: Attempt, future: Future[PlacementReport]) -> None:
        try:
            self.reports[attempt] = future.result()
        except OutOfTimeError:
            self.unfinished.append(attempt)
            if attempt in self.replacements and self.deadline.left_s() != 0:
                self.waiting.appendleft(self.replacements[attempt])


def describe_finished(reports: Mapping[Attempt, PlacementReport]) -> str:
    """Name the attempts that have a result, and their clocks."""
    if not reports:
        return "no seed was finished"
    clocks = [f"{attempt} ({reports[attempt].fmax_mhz:.1f} MHz)" for attempt in sorted(reports)]
    return f"finished: {'; '.join(clocks)}"


def describe_unfinished(attempts: Sequence[Attempt]) -> str:
    """Name attempts without a result."""
    return "; ".join(map(str, sorted(attempts)))
