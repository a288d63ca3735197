"""Simulate a design under stalls and compare every stream with the reference."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from systolith.bench import (
    NEVER,
    PATTERNS,
    BenchError,
    Stalls,
    StreamRule,
    StreamRun,
    Violation,
    check_images,
    compile_streams,
    streams,
)
from systolith.emit import Design
from systolith.foundation import Progress, listed
from systolith.network import IntArray
from systolith.verify.mismatch import Mismatch, first_mismatch, reference_problems

__all__ = [
    "PatternResult",
    "Verification",
    "VerificationError",
    "VerificationProgress",
    "is_starved",
    "verify",
]

WITHHELD = "ready withheld"
RESET = "reset in mid-frame"
LEAST_PATIENCE_CYCLES = 1000
ALONE = StreamRule.VALID_RISES_ALONE


class VerificationError(BenchError):
    """The design does not equal the reference, or a stream broke a rule.

    Attributes
    ----------
    verification : Verification
        The whole result.
    """

    def __init__(self, verification: "Verification") -> None:
        self.verification = verification
        super().__init__(str(verification))


@dataclass(frozen=True, slots=True, kw_only=True)
class PatternResult:
    """Result of one simulation under one pattern of stalls.

    Parameters
    ----------
    stalls : str
        Name of the pattern, ``"reset in mid-frame"`` or ``"ready withheld"``; with several
        outputs, ``"ready withheld at 'layer'"``.
    seed : int
        Seed that repeats the simulation exactly.
    mismatches : tuple of Mismatch
        The first mismatch of each wrong layer, in the order of the data flow: the first element
        shows where to look.
    violations : tuple of Violation
        Broken rules, including stopped streams, in the order of time.
    transfers : mapping of str to int
        Number of transfers by layer.
    cycles : int
        Cycles up to and including the last transfer.
    first_input_cycle, last_output_cycle : tuple of int
        One cycle for each image that was started, and for each that was completed; 0 is the first
        rising clock edge after reset.
    seconds : float
        Wall-clock time of the simulation.
    """

    stalls: str
    seed: int
    mismatches: tuple[Mismatch, ...]
    violations: tuple[Violation, ...]
    transfers: Mapping[str, int]
    cycles: int
    first_input_cycle: tuple[int, ...]
    last_output_cycle: tuple[int, ...]
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether all values are equal and no rule was broken."""
        return not self.mismatches and not self.violations


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """Result of :func:`verify`.

    Parameters
    ----------
    images : int
        Number of images under each pattern.
    layers : tuple of str
        Layers of the compared streams, in the order of the data flow.
    patterns : tuple of PatternResult
        One result per simulation.
    """

    images: int
    layers: tuple[str, ...]
    patterns: tuple[PatternResult, ...]

    @property
    def passed(self) -> bool:
        """Whether every simulation passed."""
        return all(result.passed for result in self.patterns)

    @property
    def mismatches(self) -> tuple[Mismatch, ...]:
        """All mismatches, simulation by simulation."""
        return tuple(mismatch for result in self.patterns for mismatch in result.mismatches)

    @property
    def violations(self) -> tuple[Violation, ...]:
        """All broken rules, simulation by simulation."""
        return tuple(violation for result in self.patterns for violation in result.violations)

    @property
    def cycles(self) -> int:
        """Simulated cycles of all patterns."""
        return sum(result.cycles for result in self.patterns)

    def raise_if_failed(self) -> None:
        """Raise :class:`VerificationError` unless everything passed."""
        if not self.passed:
            raise VerificationError(self)

    def __str__(self) -> str:
        if self.passed:
            return (
                f"{len(self.layers)} streams equal the reference: {self.images} images, "
                f"{len(self.patterns)} stall patterns, {self.cycles} cycles"
            )
        return listed(
            "the design does not equal the reference",
            (
                f"{finding} (stalls: {result.stalls}, seed {result.seed})"
                for result in self.patterns
                for finding in (*result.mismatches, *result.violations)
            ),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class VerificationProgress(Progress):
    """Progress of :func:`verify`, in simulations.

    Parameters
    ----------
    result : PatternResult
        Of the simulation that has just ended.
    """

    result: PatternResult


def verify(
    design: Design,
    images: IntArray,
    reference: Mapping[str, IntArray],
    *,
    workdir: Path,
    patterns: Sequence[Stalls] = PATTERNS,
    seed: int = 0,
    network_hash: str | None = None,
    watchdog_cycles: int = 1_000_000,
    jobs: int = 1,
    quick: bool = False,
    progress: Callable[[VerificationProgress], None] | None = None,
) -> Verification:
    """Simulate with cocotb and Verilator; compare every stream with the reference, by equality.

    There is one simulation per pattern, one that starts with a reset in the middle of a frame, and
    one per output whose consumer withholds ready, to show that valid rises alone. All of them check
    the stream rules at input, probes and outputs.

    Parameters
    ----------
    design : Design
        Emitted Verilog and its streams.
    images : array of int, shape (N, *design.input.tensor.shape)
        Values of the input's type.
    reference : mapping of str to array of int, shape (N, ...)
        Values of the reference by layer name, for input, probes and outputs; others are ignored.
    workdir : Path
        Holds cached simulators and the temporary files of each simulation.
    patterns : sequence of Stalls
        Patterns of stalls to simulate.
    seed : int
        Seed of all stalls, noted in the result.
    network_hash : str, optional
        Content hash of the network of the reference.
    watchdog_cycles : int
        Cycles without a transfer on any stream that count as a hang.
    jobs : int
        Simulations that run at the same time.
    quick : bool
        Compile without optimization, for short simulations.
    progress : callable, optional
        Called after each simulation.

    Raises
    ------
    ValueError
        With every reason why images, reference and design do not fit together.
    MissingToolError, CompileError, SimulationError
        If there is no result. A failed comparison is a result, not an error.
    """
    ports = streams(design)
    problems = [*check_images(design.input, images)]
    problems += reference_problems(ports, reference, len(images))
    if not problems and not np.array_equal(images, reference[design.input.layer]):
        problems.append(f"the reference's '{design.input.layer}' must be equal to the images")
    if network_hash is not None and network_hash != design.network_hash:
        problems.append(
            f"the design computes network {design.network_hash or '(unknown)'}, "
            f"but the reference is of network {network_hash}"
        )
    if problems:
        raise ValueError("cannot verify: " + "; ".join(problems))
    model = compile_streams(design, workdir, quick=quick)
    results: list[PatternResult] = []
    total = len(patterns) + 1 + len(design.outputs)

    def judge(run: StreamRun, name: str) -> None:
        results.append(_judge(design, run, reference, name, seed))
        if progress is not None:
            progress(
                VerificationProgress(
                    task="verify",
                    done=len(results),
                    total=total,
                    text=f"stalls: {name}",
                    result=results[-1],
                )
            )

    inner = {probe.layer for probe in design.probes}
    gap, waited, fed_slowly = 0, frozenset[str](), list[StreamRun]()
    with ThreadPoolExecutor(jobs) as pool:
        simulate = partial(model.run, images, seed=seed, watchdog_cycles=watchdog_cycles)
        runs = pool.map(lambda stalls: simulate(stalls=stalls), patterns)
        for stalls, run in zip(patterns, runs, strict=True):
            judge(run, stalls.name)
            gap, waited = max(gap, _longest_gap(run)), waited | run.waited
            if stalls.producer != NEVER and stalls.consumer == NEVER:
                fed_slowly.append(run)
    patience = min(watchdog_cycles, 4 * gap + LEAST_PATIENCE_CYCLES) if gap else watchdog_cycles
    middle = design.input.transfers_per_frame * 3 // 2 + 1
    judge(simulate(reset_after=middle), RESET)
    for number, output in enumerate(design.outputs):
        run = model.run(images, seed=seed, withhold=number, watchdog_cycles=patience)
        # Where streams fork, one may starve because the other is blocked.
        kept = tuple(
            violation
            for violation in run.violations
            if violation.rule is not ALONE
            or violation.layer == output.layer
            or not (
                violation.layer in waited
                or (violation.layer in inner and is_starved(violation.layer, run, fed_slowly))
            )
        )
        where = f" at '{output.layer}'" if len(design.outputs) > 1 else ""
        judge(replace(run, violations=kept), WITHHELD + where)
    return Verification(
        images=len(images),
        layers=tuple(port.layer for port in ports),
        patterns=tuple(results),
    )


def is_starved(layer: str, stopped: StreamRun, fed_slowly: Sequence[StreamRun]) -> bool:
    """Whether a stream stopped because its producer lacked data, rather than ready.

    Where streams fork, one branch stops the other: once the queue of a shortcut is full, the
    convolutions beside it receive no more data.

    A producer that waits for ready has accepted all data for its next transfer. In runs with a slow
    input, each transfer leaves as soon as it can. So the producer is starved if some stream before
    it has had fewer transfers than it had at this point in every such run. Only a simulation of
    the layer alone can show whether it waits for ready as well.

    Parameters
    ----------
    layer : str
        Layer whose output the stream carries.
    stopped : StreamRun
        Simulation that ended because all streams were idle. Its images may repeat.
    fed_slowly : sequence of StreamRun
        Simulations of the same design with whole frames. Without any, no stream counts as starved.
    """
    names = [trace.port.layer for trace in stopped.traces]
    index = names.index(layer)
    port = stopped.traces[index].port
    frame, transfer = divmod(len(stopped.traces[index].cycles), port.transfers_per_frame)
    for before, trace in enumerate(stopped.traces[:index]):
        in_frame = trace.port.transfers_per_frame
        needed = min(
            (
                int(np.searchsorted(run.traces[before].cycles, cycle, side="right")) - n * in_frame
                for run in fed_slowly
                for n, cycle in enumerate(
                    run.traces[index].cycles[transfer :: port.transfers_per_frame]
                )
            ),
            default=0,
        )
        if len(trace.cycles) < needed + frame * in_frame:
            return True
    return False


def _longest_gap(run: StreamRun) -> int:
    """Return the most cycles between two consecutive transfers on any streams."""
    cycles = np.unique(np.concatenate([trace.cycles for trace in run.traces]))
    return int(np.diff(cycles, prepend=0).max(initial=0))


def _judge(
    design: Design, run: StreamRun, reference: Mapping[str, IntArray], name: str, seed: int
) -> PatternResult:
    """Compare the transfers, which may have ended early, with the reference."""
    mismatches = [
        first_mismatch(trace.port, trace.values, reference[trace.port.layer], trace.cycles)
        for trace in run.traces
    ]
    first = run.traces[0].cycles
    ends = [
        trace.cycles[trace.port.transfers_per_frame - 1 :: trace.port.transfers_per_frame]
        for trace in run.traces[-len(design.outputs) :]
    ]
    complete = min(map(len, ends))
    return PatternResult(
        stalls=name,
        seed=seed,
        mismatches=tuple(mismatch for mismatch in mismatches if mismatch is not None),
        violations=run.violations,
        transfers={trace.port.layer: len(trace.cycles) for trace in run.traces},
        cycles=max((int(t.cycles[-1]) + 1 for t in run.traces if len(t.cycles)), default=0),
        first_input_cycle=tuple(first[:: design.input.transfers_per_frame].tolist()),
        last_output_cycle=tuple(np.max([end[:complete] for end in ends], axis=0).tolist()),
        seconds=run.seconds,
    )
