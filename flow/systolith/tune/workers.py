"""Tasks in other processes or on other machines, which may die."""

import multiprocessing
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager
from dataclasses import dataclass
from threading import Thread
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from systolith.foundation import UsageError
from systolith.network import NetworkError
from systolith.plan import PlanError
from systolith.prune import PruneError
from systolith.train import DivergedError

__all__ = ["FailedTask", "Workers"]

T = TypeVar("T")
R = TypeVar("R")

RETRIES = 3
"""Largest number of attempts at a task whose worker dies."""
GRACE = 1.5
"""A worker is ended after this multiple of the allowed seconds, but see LEAST_GRACE."""
LEAST_GRACE = 30.0
"""Seconds beyond the allowed ones that every worker gets."""
POLL_SECONDS = 0.5
EXPECTED = (
    *(DivergedError, NetworkError, PlanError, PruneError, UsageError),
    *(ArithmeticError, MemoryError, TimeoutError),
)
"""Errors of one point, after which the search goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedTask:
    """A task without a result, and the reason."""

    reason: str


@dataclass(slots=True, kw_only=True)
class _Job(Generic[T]):
    number: int
    task: T
    began: float | None = None
    attempts: int = 0


class Workers(AbstractContextManager["Workers"]):
    """Runs a function on many tasks in parallel; retries tasks whose worker dies.

    Parameters
    ----------
    jobs : int
        Processes on this machine, at least 1.
    scheduler : str, optional
        Address of a Dask scheduler, whose workers replace the processes. They must see the same
        files and have the same version of systolith.
    seconds : float
        Time limit of one task. A worker that does not stop by itself is ended later.
    """

    def __init__(self, jobs: int, *, scheduler: str | None = None, seconds: float) -> None:
        self.jobs, self.scheduler, self.seconds = jobs, scheduler, seconds
        self._executor: Executor | None = None
        self._client: Any = None

    def run(
        self, function: Callable[[T], R], tasks: Sequence[T]
    ) -> Iterator[tuple[int, R | FailedTask]]:
        """Yield results as they finish, with the index of the task.

        `function` and tasks must be picklable. Expected errors of a task give a
        :class:`FailedTask`; others are raised.
        """
        waiting = [_Job(number=number, task=task) for number, task in enumerate(tasks)]
        running: dict[Future[R], _Job[T]] = {}
        while waiting or running:
            # Submit only as many as can begin at once, so that their start times are known.
            while waiting and len(running) < self.jobs:
                job = waiting.pop(0)
                job.attempts, job.began = job.attempts + 1, time.monotonic()
                running[self._submit(function, job.task)] = job
            done, _ = wait(running, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED)
            for future in done:
                job = running.pop(future)
                result = self._result(future)
                if result is None and job.attempts < RETRIES:
                    waiting.insert(0, job)
                elif result is None:
                    yield job.number, FailedTask(reason=f"its worker died {RETRIES} times")
                else:
                    yield job.number, result
            for job in self._overdue(running.values()):
                yield job.number, FailedTask(reason=f"took more than {self.seconds:g} s, and hung")
                running = {future: other for future, other in running.items() if other is not job}

    def close(self) -> None:
        """Release all workers, and end those of this machine."""
        if self._executor is not None:
            self._executor.shutdown(wait=False)
            self._end_processes()
        if self._client is not None:
            self._client.close()
        self._executor = self._client = None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __enter__(self) -> Self:
        return self

    def _submit(self, function: Callable[[T], R], task: T) -> Future[R]:
        if self._executor is None:
            self._executor = self._start()
        try:
            return self._executor.submit(function, task)
        except BrokenProcessPool:
            self._executor = self._start()
            return self._executor.submit(function, task)

    def _start(self) -> Executor:
        if self.scheduler is None:
            context = multiprocessing.get_context("spawn")
            return ProcessPoolExecutor(self.jobs, mp_context=context, initializer=_end_with_driver)
        try:
            from distributed import Client
        except ImportError:
            raise UsageError("--scheduler needs Dask: pip install systolith[cluster]") from None
        try:
            client = Client(self.scheduler)
        except (OSError, ValueError) as error:
            raise UsageError(f"no Dask scheduler answers at {self.scheduler}: {error}") from error
        self._client = client
        self.jobs = max(sum(client.nthreads().values()), 1)
        executor: Executor = client.get_executor(pure=False)
        return executor

    def _result(self, future: Future[R]) -> R | FailedTask | None:
        """Return the result, or None if the worker died."""
        try:
            return future.result()
        except BrokenProcessPool:
            return None
        except EXPECTED as error:
            return FailedTask(reason=f"{type(error).__name__}: {error}")
        except Exception as error:
            if type(error).__name__ == "KilledWorker":  # of Dask, which has tried again itself
                return FailedTask(reason=f"its worker died: {error}")
            raise

    def _overdue(self, jobs: Iterable[_Job[T]]) -> Iterator[_Job[T]]:
        limit = max(GRACE * self.seconds, self.seconds + LEAST_GRACE)
        late = [
            job for job in jobs if job.began is not None and time.monotonic() - job.began > limit
        ]
        if late and self.scheduler is None:
            self._end_processes()
        yield from late

    def _end_processes(self) -> None:
        """End the processes of this machine; the pool replaces them."""
        if self.scheduler is None:
            for process in multiprocessing.active_children():
                process.kill()


def _end_with_driver() -> None:
    """End this worker as soon as the process that started it ends, even if it was killed."""
    driver = multiprocessing.parent_process()

    def watch() -> None:
        if driver is not None:
            driver.join()
            os._exit(1)

    Thread(target=watch, daemon=True).start()
