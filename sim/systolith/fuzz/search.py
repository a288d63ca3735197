"""Judge many random cases in parallel; shrink and keep those that fail."""

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

from systolith.foundation import Progress
from systolith.fuzz.choices import SeededChoices
from systolith.fuzz.target import FindingKind, FuzzCase, FuzzTarget, Verdict, judge_within

__all__ = ["FuzzFailure", "FuzzProgress", "FuzzResult", "search"]

C = TypeVar("C", bound=FuzzCase)


@dataclass(frozen=True, slots=True, kw_only=True)
class FuzzFailure:
    """A failing case.

    Attributes
    ----------
    number : int
        Number of the drawn case.
    folder : Path
        Folder with the simplest case that fails in the same way.
    verdict : Verdict
        On the simplest case.
    """

    number: int
    folder: Path
    verdict: Verdict


@dataclass(kw_only=True)
class FuzzResult:
    """Result of :func:`search`.

    Attributes
    ----------
    seed : int
        Seed of all cases.
    networks : int
        Number of judged cases.
    failed : Counter of FindingKind
        Cases with a finding of each kind.
    contents : Counter of str
        Cases by feature, see :meth:`FuzzTarget.contents`.
    outcomes : dict of str to Counter of str
        For each outcome (``accepted``, ``refused``, ``wrong``), cases by feature.
    ended : Counter of str
        Cases by outcome.
    refusals : Counter of str
        Refused cases by reason.
    failures : list of FuzzFailure
    seconds : float
        Wall-clock time.
    """

    seed: int
    networks: int = 0
    failed: Counter[FindingKind] = field(default_factory=Counter)
    contents: Counter[str] = field(default_factory=Counter)
    outcomes: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    ended: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    failures: list[FuzzFailure] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether no case failed."""
        return not self.failures

    def add(self, outcome: "CaseOutcome") -> None:
        """Add a case to the counts."""
        self.networks += 1
        self.contents += outcome.contents
        self.failed.update(outcome.verdict.kinds)
        self.ended[outcome.verdict.outcome] += 1
        self.outcomes[outcome.verdict.outcome].update(outcome.contents.keys())
        self.refusals.update({_plain(reason) for reason in outcome.verdict.refusals})
        if outcome.failure is not None:
            self.failures.append(outcome.failure)


def _plain(reason: str) -> str:
    """Replace names and numbers in a reason, so that equal reasons are counted together."""
    return re.sub(r"-?\b\d[\d.e+-]*\b", "N", re.sub(r"'[^']*'", "'..'", reason))


@dataclass(frozen=True, slots=True)
class CaseOutcome:
    """Verdict and features of one case, and if it failed the simplest case that fails alike."""

    verdict: Verdict
    contents: Counter[str]
    failure: FuzzFailure | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FuzzProgress(Progress):
    """Progress of :func:`search`, in cases.

    Parameters
    ----------
    result : FuzzResult
        Of all cases so far.
    """

    result: FuzzResult


def search(
    target: FuzzTarget[C],
    count: int,
    seed: int,
    folder: Path,
    *,
    first: int = 0,
    jobs: int = 1,
    most_failures: int = 1,
    shrink_attempts: int = 80,
    seconds: int | None = None,
    progress: Callable[[FuzzProgress], None] | None = None,
) -> FuzzResult:
    """Judge random cases.

    After `most_failures` failures no new case starts. Running cases end, and are shrunk if they
    fail.

    Parameters
    ----------
    target : FuzzTarget
        Draws and judges the cases.
    count : int
        Number of cases. Seed and number determine each case.
    seed : int
        Seed of all cases.
    folder : Path
        Receives one folder for each failing case.
    first : int
        Number of the first case.
    jobs : int
        Processes, each with one case at a time; 1 uses this process.
    most_failures : int
        Failures that end the search.
    shrink_attempts : int
        Most cases to judge in search of a simpler one, for each failure.
    seconds : int, optional
        Time limit of a case; None for no limit.
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
    with tempfile.TemporaryDirectory(dir=folder, prefix=".simulators-") as workdir:
        task = _Task(target, seed, folder, Path(workdir), shrink_attempts, seconds)
        numbers = range(first, first + count)
        with _outcomes(task, numbers, jobs, most_failures) as outcomes:
            for outcome in outcomes:
                result.add(outcome)
                if progress is not None:
                    progress(
                        FuzzProgress(task="fuzz", done=result.networks, total=count, result=result)
                    )
    result.failures.sort(key=lambda failure: failure.number)
    result.seconds = time.perf_counter() - start
    return result


@dataclass(frozen=True, slots=True)
class _Task(Generic[C]):
    """Draw and judge the case of a number; if it fails, shrink and keep it."""

    target: FuzzTarget[C]
    seed: int
    folder: Path
    workdir: Path
    shrink_attempts: int
    seconds: int | None

    def __call__(self, number: int) -> CaseOutcome:
        workdir = self.workdir / str(os.getpid())
        workdir.mkdir(exist_ok=True)
        choices = SeededChoices(f"{self.seed}/{number}")
        case = self.target.draw(choices)
        verdict = self._judge(case, workdir)
        failure = None
        if not verdict.passed:
            simplest, simplest_verdict = self.target.shrink(
                case,
                verdict,
                choices.made,
                lambda smaller: self._judge(smaller, workdir),
                self.shrink_attempts,
            )
            failure = FuzzFailure(
                number=number,
                folder=self.folder / f"failure-{self.seed}-{number}",
                verdict=simplest_verdict,
            )
            self._keep(failure, simplest)
        return CaseOutcome(verdict, Counter(self.target.contents(case)), failure)

    def _judge(self, case: C, workdir: Path) -> Verdict:
        if self.seconds is None:
            return self.target.judge(case, workdir)
        return judge_within(self.seconds, lambda: self.target.judge(case, workdir))

    def _keep(self, failure: FuzzFailure, case: C) -> None:
        """Write a folder with the case and its findings, whole or not at all."""
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
) -> Iterator[Iterator[CaseOutcome]]:
    """Yield outcomes in the order in which cases end, until `most_failures` have failed."""
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


def _one_by_one(task: _Task[C], numbers: range, most_failures: int) -> Iterator[CaseOutcome]:
    failures = 0
    for number in numbers:
        yield (outcome := task(number))
        failures += outcome.failure is not None
        if failures >= most_failures:
            return


def _as_they_end(futures: list[Future[CaseOutcome]], most_failures: int) -> Iterator[CaseOutcome]:
    failures = 0
    for future in as_completed(futures):
        if future.cancelled():
            continue
        yield (outcome := future.result())
        failures += outcome.failure is not None
        if failures >= most_failures:
            for waiting in futures:
                waiting.cancel()
