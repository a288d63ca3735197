"""Many random cases, several at once; those that fail are shrunk and kept."""

import json
import multiprocessing
import os
import re
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Generic, TypeVar

from systolith.fuzz.choices import Seeded
from systolith.fuzz.target import Kept, Target, timed
from systolith.fuzz.verdict import Kind, Verdict

__all__ = ["Failure", "FuzzResult", "search"]

C = TypeVar("C", bound=Kept)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A case that failed.

    Attributes
    ----------
    number : int
        Of the case.
    folder : Path
        Where the simplest case that fails so is kept.
    verdict : Verdict
        On that one.
    """

    number: int
    folder: Path
    verdict: Verdict


@dataclass(kw_only=True)
class FuzzResult:
    """What came out.

    Attributes
    ----------
    seed : int
        Of all cases.
    networks : int
        Cases judged.
    failed : Counter of Kind
        Cases with a finding of each kind.
    contents : Counter of str
        What all cases together contained.
    outcomes : dict of str to Counter of str
        By outcome (``accepted``, ``refused``, ``wrong``): cases that contain each thing.
    ended : Counter of str
        Cases with each outcome.
    refusals : Counter of str
        Cases by reason for which a door did not take them.
    failures : list of Failure
    seconds : float
        Wall-clock time.
    """

    seed: int
    networks: int = 0
    failed: Counter[Kind] = field(default_factory=Counter)
    contents: Counter[str] = field(default_factory=Counter)
    outcomes: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    ended: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether nothing was found."""
        return not self.failures

    def add(self, outcome: "Outcome") -> None:
        """Count a case."""
        self.networks += 1
        self.contents += outcome.contents
        self.failed.update(outcome.verdict.kinds)
        self.ended[outcome.verdict.outcome] += 1
        self.outcomes[outcome.verdict.outcome].update(outcome.contents.keys())
        self.refusals.update({_plain(reason) for reason in outcome.verdict.refusals})
        if outcome.failure is not None:
            self.failures.append(outcome.failure)


def _plain(reason: str) -> str:
    """A reason without the names and numbers of one case."""
    return re.sub(r"-?\b\d[\d.e+-]*\b", "N", re.sub(r"'[^']*'", "'..'", reason))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one case came to; its failure is on the simplest case like it."""

    verdict: Verdict
    contents: Counter[str]
    failure: Failure | None


def search(
    target: Target[C],
    count: int,
    seed: int,
    folder: Path,
    *,
    first: int = 0,
    jobs: int = 1,
    most_failures: int = 1,
    shrink_attempts: int = 80,
    seconds: int | None = None,
    progress: Callable[[FuzzResult], None] | None = None,
) -> FuzzResult:
    """Judge random cases.

    After so many failures no new case begins: those at work end, and each that fails is shrunk.

    Parameters
    ----------
    target : Target
        What they go through.
    count : int
        Cases; each is drawn from the seed and its number, so more of them begin with the same ones.
    seed : int
        Of all.
    folder : Path
        For the cases that fail, each in a folder of its own.
    first : int
        Number of the first one.
    jobs : int
        Cases at once, each in a process of its own; 1 is this process.
    most_failures : int
        Failures that end the search.
    shrink_attempts : int
        Cases to judge for each failure, looking for a simpler one.
    seconds : int, optional
        That a case may take; None: any.
    progress : callable, optional
        Called after each case.

    Raises
    ------
    MissingToolError
        Before anything is drawn.
    """
    target.require()
    folder.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    result = FuzzResult(seed=seed)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".builds-") as builds:
        task = _Task(target, seed, folder, Path(builds), shrink_attempts, seconds)
        numbers = range(first, first + count)
        with _outcomes(task, numbers, jobs, most_failures) as outcomes:
            for outcome in outcomes:
                result.add(outcome)
                if progress is not None:
                    progress(result)
    result.failures.sort(key=lambda failure: failure.number)
    result.seconds = time.perf_counter() - start
    return result


@dataclass(frozen=True, slots=True)
class _Task(Generic[C]):
    """Draw, judge, and if it fails, shrink and keep the case of a number."""

    target: Target[C]
    seed: int
    folder: Path
    builds: Path
    shrink_attempts: int
    seconds: int | None

    def __call__(self, number: int) -> Outcome:
        workdir = self.builds / str(os.getpid())
        workdir.mkdir(exist_ok=True)
        choices = Seeded(f"{self.seed}/{number}")
        case = self.target.draw(choices)
        verdict = self._judged(case, workdir)
        failure = None
        if not verdict.passed:
            simplest, found = self.target.shrink(
                case,
                verdict,
                choices.made,
                lambda smaller: self._judged(smaller, workdir),
                self.shrink_attempts,
            )
            failure = Failure(
                number=number,
                folder=self.folder / f"failure-{self.seed}-{number}",
                verdict=found,
            )
            self._keep(failure, simplest)
        return Outcome(verdict, Counter(self.target.contents(case)), failure)

    def _judged(self, case: C, workdir: Path) -> Verdict:
        if self.seconds is None:
            return self.target.judge(case, workdir)
        return timed(lambda: self.target.judge(case, workdir), self.seconds)

    def _keep(self, failure: Failure, case: C) -> None:
        """Write the case, and beside it what was found: a whole folder, or none."""
        note = {
            "seed": self.seed,
            "number": failure.number,
            **self.target.settings,
            "systolith": version("systolith"),
            "findings": [f"{kind.value}: {text}" for kind, text in failure.verdict.findings],
        }
        with tempfile.TemporaryDirectory(dir=self.folder, prefix=".failure-") as scratch:
            new, old = Path(scratch) / "new", Path(scratch) / "old"
            case.save(new)
            (new / "findings.json").write_text(json.dumps(note, indent=1) + "\n")
            if failure.folder.exists():
                failure.folder.rename(old)
            new.rename(failure.folder)


@contextmanager
def _outcomes(
    task: _Task[C], numbers: range, jobs: int, most_failures: int
) -> Iterator[Iterator[Outcome]]:
    """Outcomes in the order in which cases end; none is begun after so many failures."""
    if jobs == 1:
        yield _one_by_one(task, numbers, most_failures)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(jobs, len(numbers)), mp_context=context) as pool:
        futures = [pool.submit(task, number) for number in numbers]
        try:
            yield _as_they_end(futures, most_failures)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _one_by_one(task: _Task[C], numbers: range, most_failures: int) -> Iterator[Outcome]:
    failures = 0
    for number in numbers:
        yield (outcome := task(number))
        failures += outcome.failure is not None
        if failures >= most_failures:
            return


def _as_they_end(futures: list[Future[Outcome]], most_failures: int) -> Iterator[Outcome]:
    failures = 0
    for future in as_completed(futures):
        if future.cancelled():
            continue
        yield (outcome := future.result())
        failures += outcome.failure is not None
        if failures >= most_failures:
            for waiting in futures:
                waiting.cancel()
