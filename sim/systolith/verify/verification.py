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
    Rule,
    Stalls,
    StreamRun,
    Violation,
    build_streams,
    check_images,
    streams,
)
from systolith.emit import Design
from systolith.network import IntArray
from systolith.verify.mismatch import Mismatch, first_mismatch, reference_problems
from systolith.verify.starvation import is_starved

__all__ = ["PatternResult", "Verification", "VerificationError", "verify"]

WITHHELD = "ready withheld"
RESET = "reset in mid-frame"
LEAST_PATIENCE_CYCLES = 1000
ALONE = Rule.VALID_RISES_ALONE


class VerificationError(BenchError):
    """The design and the reference are not equal, or a stream broke a rule.

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
    """What one simulation, under one pattern of stalls, showed.

    Parameters
    ----------
    stalls : str
        Name of the pattern, ``"reset in mid-frame"`` or ``"ready withheld"``; of several outputs,
        ``"ready withheld at 'layer'"``.
    seed : int
        Repeats the simulation exactly.
    mismatches : tuple of Mismatch
        The first of each wrong layer, layers in the order of the data flow: the first element is
        where to look.
    violations : tuple of Violation
        Broken rules in the order of time, streams that stopped included.
    transfers : mapping of str to int
        Transfers seen, by layer.
    cycles : int
        Up to and including the last transfer.
    first_input_cycle, last_output_cycle : tuple of int
        Per image that was begun, and per image that was completed; 0 is the first rising clock
        edge after reset.
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
        """Whether everything was equal and no rule was broken."""
        return not self.mismatches and not self.violations


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """Result of :func:`verify`.

    Parameters
    ----------
    images : int
        How many were simulated, under each pattern.
    layers : tuple of str
        Whose streams were compared, in the order of the data flow.
    patterns : tuple of PatternResult
        One per simulation.
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
        return tuple(found for result in self.patterns for found in result.mismatches)

    @property
    def violations(self) -> tuple[Violation, ...]:
        """All broken rules, simulation by simulation."""
        return tuple(found for result in self.patterns for found in result.violations)

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
        lines = [
            f"{found} (stalls: {result.stalls}, seed {result.seed})"
            for result in self.patterns
            for found in (*result.mismatches, *result.violations)
        ]
        return "the design does not equal the reference:" + "".join(f"\n  - {x}" for x in lines)


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
    progress: Callable[[PatternResult], None] | None = None,
) -> Verification:
    """Simulate with cocotb and Verilator; compare every stream with the reference, by equality.

    One simulation per pattern; one that begins with a reset in the middle of a frame; and for each
    output one in which its consumer withholds ready, which shows that valid rises alone. Input,
    probes and outputs are watched for the rules of a stream.

    Parameters
    ----------
    design : Design
        Emitted Verilog and its streams.
    images : array of int, shape (N, *design.input.tensor.shape)
        Values of the input's type.
    reference : mapping of str to array of int, shape (N, ...)
        Outputs of the reference by layer name, including the input's, every probe's and the
        outputs'; others are ignored.
    workdir : Path
        For builds, which are cached, and for the files of each simulation.
    patterns : sequence of Stalls
        Each is simulated once.
    seed : int
        Of all stalls; the result tells it.
    network_hash : str, optional
        Content hash of the network that the reference was computed with.
    watchdog_cycles : int
        This many cycles without a transfer on any stream are a hang.
    jobs : int
        Simulations at once.
    quick : bool
        Compile in the least time, for simulations that take but a moment.
    progress : callable, optional
        Called with the result of each simulation.

    Raises
    ------
    ValueError
        If images, reference and design do not fit together, with every reason.
    MissingToolError, BuildError, SimulationError
        If there is no result; a failed comparison is a result.
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
    model = build_streams(design, workdir, quick=quick)
    results: list[PatternResult] = []

    def judge(run: StreamRun, name: str) -> None:
        results.append(_judge(design, run, reference, name, seed))
        if progress is not None:
            progress(results[-1])

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
        # where streams fork, one may starve for good reason; any run can show it needs no ready
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


def _longest_gap(run: StreamRun) -> int:
    """Most cycles that passed between one transfer and the next, on whatever stream."""
    cycles = np.unique(np.concatenate([trace.cycles for trace in run.traces]))
    return int(np.diff(cycles, prepend=0).max(initial=0))


def _judge(
    design: Design, run: StreamRun, reference: Mapping[str, IntArray], name: str, seed: int
) -> PatternResult:
    """Compare what was transferred, which may have ended early, with the reference."""
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
        mismatches=tuple(found for found in mismatches if found is not None),
        violations=run.violations,
        transfers={trace.port.layer: len(trace.cycles) for trace in run.traces},
        cycles=max((int(t.cycles[-1]) + 1 for t in run.traces if len(t.cycles)), default=0),
        first_input_cycle=tuple(first[:: design.input.transfers_per_frame].tolist()),
        last_output_cycle=tuple(np.max([end[:complete] for end in ends], axis=0).tolist()),
        seconds=run.seconds,
    )
