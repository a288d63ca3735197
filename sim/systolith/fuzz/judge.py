"""Take one case all the way, and say what is not as it must be."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from systolith.bench import NONE, compile_native
from systolith.emit import Design, load_design, write_design
from systolith.fuzz.case import Case
from systolith.fuzz.verdict import Kind, Verdict
from systolith.network import IntArray, content_hash, load, save, trace
from systolith.plan import NetworkPlan, timeline
from systolith.verify import Verification, compare, verify

__all__ = ["Emit", "judge"]

Emit = Callable[[NetworkPlan, Path], Design]
"""Writes the Verilog of a plan; :func:`systolith.emit.write_design`, or a saboteur of it."""

WATCHDOG_CYCLES = 20_000
BUILDS = ("cocotb-*", "native-*", ".cocotb-*", ".native-*")


def judge(case: Case, workdir: Path, emit: Emit = write_design) -> Verdict:
    """Save and load, plan, emit, build, simulate; compare every stream and every frame's cycles.

    The cocotb bench simulates without stalls, under the case's stalls, after a reset in mid-frame,
    and with ready withheld at each output; the native driver without stalls.

    Parameters
    ----------
    case : Case
    workdir : Path
        For builds; no other case may use it at the same time.
    emit : callable
        Writes the Verilog.
    """
    with tempfile.TemporaryDirectory(dir=workdir, prefix="case-") as scratch:
        try:
            return Verdict(findings=tuple(_findings(case, Path(scratch), workdir, emit)))
        except Exception as error:  # whatever a random case brings to light is a finding
            finding = f"{type(error).__name__}: {error}"
            return Verdict(findings=((Kind.ERROR, finding),))
        finally:
            for pattern in BUILDS:
                for path in workdir.glob(pattern):
                    shutil.rmtree(path) if path.is_dir() else path.unlink()


def _findings(case: Case, folder: Path, workdir: Path, emit: Emit) -> Iterator[tuple[Kind, str]]:
    save(case.network, folder / "network.json")
    network = load(folder / "network.json")
    if content_hash(network) != content_hash(case.network):
        yield Kind.ERROR, "the network is another one once it was saved and loaded"
    plan = replace(case, network=network).plan()
    emit(plan, folder / "rtl")
    design = load_design(folder / "rtl" / "design.json")
    reference = trace(network, case.images)
    found = verify(
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
    for result in found.patterns:
        for what in (*result.mismatches, *result.violations):
            yield Kind.MISMATCH, f"{what} (stalls: {result.stalls}, seed {result.seed})"
    if found.passed:
        yield from _cycle_findings(plan, found, len(case.images))
        yield from _native_findings(plan, design, case.images, reference, workdir)


def _cycle_findings(
    plan: NetworkPlan, found: Verification, frames: int
) -> Iterator[tuple[Kind, str]]:
    expected, got = timeline(plan.graph, frames), found.patterns[0]
    for what, wanted, seen in (
        ("first inputs", expected.first_input, got.first_input_cycle),
        ("last outputs", expected.last_output, got.last_output_cycle),
    ):
        if seen != wanted:
            yield Kind.CYCLES, f"{what} of frames predicted at cycles {wanted}, seen at {seen}"


def _native_findings(
    plan: NetworkPlan,
    design: Design,
    images: IntArray,
    reference: dict[str, IntArray],
    workdir: Path,
) -> Iterator[tuple[Kind, str]]:
    result = compile_native(design, workdir, quick=True).run(
        images, watchdog_cycles=WATCHDOG_CYCLES
    )
    if (mismatch := compare(design, result.outputs, reference)) is not None:
        yield Kind.MISMATCH, f"{mismatch} (native driver)"
    cycles = int(np.max(result.last_output_cycle) - result.first_input_cycle[0] + 1)
    if cycles != (predicted := plan.cycles(len(images))):
        yield Kind.CYCLES, f"{predicted} cycles predicted, {cycles} in the native driver"
