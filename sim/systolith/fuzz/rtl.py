"""Fuzz the RTL: random integer networks through planner, Verilog and simulators."""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from systolith.bench import NONE, compile_native, find_toolchain
from systolith.emit import Design, load_design, write_design
from systolith.fuzz.case import Case, draw_case
from systolith.fuzz.choices import Choices
from systolith.fuzz.search import FuzzProgress, FuzzResult, search
from systolith.fuzz.shrink import shrink_choices
from systolith.fuzz.target import FindingKind, Verdict
from systolith.network import IntArray, content_hash, load, save, trace
from systolith.plan import NetworkPlan, compute_timeline
from systolith.verify import Verification, compare, verify

__all__ = ["MOST_LAYERS", "EmitFunction", "RtlTarget", "fuzz", "judge_case", "replay"]

EmitFunction = Callable[[NetworkPlan, Path], Design]
"""Writes the Verilog of a plan: :func:`systolith.emit.write_design`, or a saboteur of it."""

MOST_LAYERS = 4
WATCHDOG_CYCLES = 20_000
SIMULATORS = ("cocotb-*", "native-*", ".cocotb-*", ".native-*")


@dataclass(frozen=True, slots=True)
class RtlTarget:
    """Fuzz the way from an integer network to RTL.

    Attributes
    ----------
    most_layers : int
        Most layers of a network, not counting flattenings.
    emit : callable
        Writes the Verilog. A function that breaks it tests that fuzzing finds the fault.
    """

    most_layers: int = MOST_LAYERS
    emit: EmitFunction = write_design

    @property
    def settings(self) -> dict[str, int]:
        """Settings that, with seed and number, determine a case."""
        return {"most_layers": self.most_layers}

    def require(self) -> None:
        """Check that the simulators are installed."""
        find_toolchain(cocotb=True)

    def draw(self, choices: Choices) -> Case:
        """Draw a network, array shapes, images and stalls."""
        return draw_case(choices, self.most_layers)

    def judge(self, case: Case, workdir: Path) -> Verdict:
        """Simulate the case; see :func:`judge_case`."""
        return judge_case(case, workdir, self.emit)

    def shrink(
        self,
        case: Case,
        verdict: Verdict,
        made: Sequence[int],
        judge: Callable[[Case], Verdict],
        attempts: int,
    ) -> tuple[Case, Verdict]:
        """Search for simpler choices."""
        return shrink_choices(self.draw, case, verdict, made, judge, attempts=attempts)

    def load(self, folder: Path) -> Case:
        """Read a saved case."""
        return Case.load(folder)

    def contents(self, case: Case) -> Iterator[str]:
        """List layers, patterns and integer types."""
        yield from case.contents()


def fuzz(
    count: int,
    seed: int,
    folder: Path,
    *,
    first: int = 0,
    jobs: int = 1,
    most_layers: int = MOST_LAYERS,
    most_failures: int = 1,
    shrink_attempts: int = 80,
    emit: EmitFunction = write_design,
    progress: Callable[[FuzzProgress], None] | None = None,
) -> FuzzResult:
    """Judge random networks in RTL; for parameters see :func:`search` and :class:`RtlTarget`.

    Raises
    ------
    MissingToolError
        Before anything is drawn.
    """
    return search(
        RtlTarget(most_layers, emit),
        count,
        seed,
        folder,
        first=first,
        jobs=jobs,
        most_failures=most_failures,
        shrink_attempts=shrink_attempts,
        progress=progress,
    )


def replay(case: Case, *, emit: EmitFunction = write_design) -> Verdict:
    """Judge one case, such as one that :meth:`Case.load` read.

    Raises
    ------
    MissingToolError
        Before anything is compiled.
    """
    find_toolchain(cocotb=True)
    with tempfile.TemporaryDirectory() as workdir:
        return judge_case(case, Path(workdir), emit)


def judge_case(case: Case, workdir: Path, emit: EmitFunction = write_design) -> Verdict:
    """Save, load, plan, emit and simulate a case; compare all streams and the cycles of frames.

    The cocotb bench simulates without stalls, under the stalls of the case, after a reset in
    mid-frame, and with ready withheld at each output. The native driver simulates without stalls.

    Parameters
    ----------
    case : Case
    workdir : Path
        Folder for simulators; no other case may use it at the same time.
    emit : callable
        Writes the Verilog.
    """
    with tempfile.TemporaryDirectory(dir=workdir, prefix="case-") as scratch:
        try:
            return Verdict(findings=tuple(_findings(case, Path(scratch), workdir, emit)))
        except Exception as error:  # any exception of a random case is a finding
            finding = f"{type(error).__name__}: {error}"
            return Verdict(findings=((FindingKind.ERROR, finding),))
        finally:
            for pattern in SIMULATORS:
                for path in workdir.glob(pattern):
                    shutil.rmtree(path) if path.is_dir() else path.unlink()


def _findings(
    case: Case, folder: Path, workdir: Path, emit: EmitFunction
) -> Iterator[tuple[FindingKind, str]]:
    save(case.network, folder / "network.json")
    network = load(folder / "network.json")
    if content_hash(network) != content_hash(case.network):
        yield FindingKind.ERROR, "the network is another one once it was saved and loaded"
    plan = replace(case, network=network).plan()
    emit(plan, folder / "rtl")
    design = load_design(folder / "rtl" / "design.json")
    reference = trace(network, case.images)
    verification = verify(
        design,
        case.images,
        reference,
        workdir=workdir,
        patterns=[NONE, case.pattern],
        seed=case.seed,
        network_hash=content_hash(network),
        watchdog_cycles=WATCHDOG_CYCLES,
        quick=True,
    )
    for result in verification.patterns:
        for finding in (*result.mismatches, *result.violations):
            yield FindingKind.MISMATCH, f"{finding} (stalls: {result.stalls}, seed {result.seed})"
    if verification.passed:
        yield from _cycle_findings(plan, verification, len(case.images))
        yield from _native_findings(plan, design, case.images, reference, workdir)


def _cycle_findings(
    plan: NetworkPlan, verification: Verification, frames: int
) -> Iterator[tuple[FindingKind, str]]:
    expected, got = compute_timeline(plan.graph, frames), verification.patterns[0]
    for what, wanted, seen in (
        ("first inputs", expected.first_input, got.first_input_cycle),
        ("last outputs", expected.last_output, got.last_output_cycle),
    ):
        if seen != wanted:
            yield (
                FindingKind.CYCLES,
                f"{what} of frames predicted at cycles {wanted}, seen at {seen}",
            )


def _native_findings(
    plan: NetworkPlan,
    design: Design,
    images: IntArray,
    reference: dict[str, IntArray],
    workdir: Path,
) -> Iterator[tuple[FindingKind, str]]:
    result = compile_native(design, workdir, quick=True).run(
        images, watchdog_cycles=WATCHDOG_CYCLES
    )
    if (mismatch := compare(design, result.outputs, reference)) is not None:
        yield FindingKind.MISMATCH, f"{mismatch} (native driver)"
    cycles = int(np.max(result.last_output_cycle) - result.first_input_cycle[0] + 1)
    if cycles != (predicted := plan.cycles(len(images))):
        yield FindingKind.CYCLES, f"{predicted} cycles predicted, {cycles} in the native driver"
