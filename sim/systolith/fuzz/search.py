"""Many random cases, several at once; those that fail are shrunk and kept."""

import json
import multiprocessing
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from systolith.bench import find_toolchain
from systolith.build import write_design
from systolith.fuzz.case import Case, draw_case
from systolith.fuzz.choices import Seeded
from systolith.fuzz.judge import Emit, Kind, Verdict, judge
from systolith.fuzz.shrink import shrunk
from systolith.fuzz.tally import contents

__all__ = ["MOST_LAYERS", "Failure", "FuzzResult", "fuzz", "replay"]

MOST_LAYERS = 4


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
        What all cases together contained; see :func:`systolith.fuzz.contents`.
    failures : list of Failure
    seconds : float
        Wall-clock time.
    """

    seed: int
    networks: int = 0
    failed: Counter[Kind] = field(default_factory=Counter)
    contents: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether nothing was found."""
        return not self.failures


def fuzz(
    count: int,
    seed: int,
    folder: Path,
    *,
    first: int = 0,
    jobs: int = 1,
    most_layers: int = MOST_LAYERS,
    shrink_attempts: int = 80,
    emit: Emit = write_design,
    progress: Callable[[FuzzResult], None] | None = None,
) -> FuzzResult:
    """Judge random cases.

    After a failure no new case begins: those at work end, and each that fails is shrunk.

    Parameters
    ----------
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
    most_layers : int
        Of each network, besides flattenings.
    shrink_attempts : int
        Cases to judge for each failure, looking for a simpler one.
    emit : callable
        Writes the Verilog; one that breaks it shows that fuzzing finds it.
    progress : callable, optional
        Called after each case.

    Raises
    ------
    MissingToolError
        Before anything is drawn.
    """
    find_toolchain(cocotb=True)
    folder.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    result = FuzzResult(seed=seed)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".builds-") as builds:
        task = _Task(seed, folder, Path(builds), most_layers, shrink_attempts, emit)
        with _outcomes(task, range(first, first + count), jobs) as outcomes:
            for outcome in outcomes:
                result.networks += 1
                result.contents += outcome.contents
                result.failed.update(outcome.kinds)
                if outcome.failure is not None:
                    result.failures.append(outcome.failure)
                if progress is not None:
                    progress(result)
    result.failures.sort(key=lambda failure: failure.number)
    result.seconds = time.perf_counter() - start
    return result


def replay(case: Case, *, emit: Emit = write_design) -> Verdict:
    """Judge one case, such as :func:`systolith.fuzz.load_case` reads.

    Raises
    ------
    MissingToolError
        Before anything is built.
    """
    find_toolchain(cocotb=True)
    with tempfile.TemporaryDirectory() as builds:
        return judge(case, Path(builds), emit)


@dataclass(frozen=True, slots=True)
class _Outcome:
    kinds: frozenset[Kind]
    contents: Counter[str]
    failure: Failure | None


@dataclass(frozen=True, slots=True)
class _Task:
    """Draw, judge, and if it fails, shrink and keep the case of a number."""

    seed: int
    folder: Path
    builds: Path
    most_layers: int
    shrink_attempts: int
    emit: Emit

    def __call__(self, number: int) -> _Outcome:
        workdir = self.builds / str(os.getpid())
        workdir.mkdir(exist_ok=True)
        choices = Seeded(f"{self.seed}/{number}")
        case = draw_case(choices, self.most_layers)
        verdict = judge(case, workdir, self.emit)
        failure = None
        if not verdict.passed:
            simplest, found = shrunk(
                case,
                verdict,
                choices.made,
                self.most_layers,
                lambda case: judge(case, workdir, self.emit),
                attempts=self.shrink_attempts,
            )
            failure = Failure(
                number=number,
                folder=self.folder / f"failure-{self.seed}-{number}",
                verdict=found,
            )
            self._keep(failure, simplest)
        return _Outcome(verdict.kinds, Counter(contents(case)), failure)

    def _keep(self, failure: Failure, case: Case) -> None:
        """Write the case, and beside it what was found: a whole folder, or none."""
        note = {
            "seed": self.seed,
            "number": failure.number,
            "most_layers": self.most_layers,
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
def _outcomes(task: _Task, numbers: range, jobs: int) -> Iterator[Iterator[_Outcome]]:
    """Outcomes in the order in which cases end; none is begun after a failure."""
    if jobs == 1:
        yield _one_by_one(task, numbers)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(jobs, len(numbers)), mp_context=context) as pool:
        futures = [pool.submit(task, number) for number in numbers]
        try:
            yield _as_they_end(futures)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _one_by_one(task: _Task, numbers: range) -> Iterator[_Outcome]:
    for number in numbers:
        yield (outcome := task(number))
        if outcome.failure is not None:
            return


def _as_they_end(futures: list[Future[_Outcome]]) -> Iterator[_Outcome]:
    for future in as_completed(futures):
        if future.cancelled():
            continue
        yield (outcome := future.result())
        if outcome.failure is not None:
            for waiting in futures:
                waiting.cancel()
