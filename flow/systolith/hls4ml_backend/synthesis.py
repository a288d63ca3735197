"""From a model to a bitstream, and the report of it."""

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from systolith.config import BuildSection
from systolith.hls4ml_backend.errors import ConversionError
from systolith.hls4ml_backend.names import REPORT
from systolith.steps.building import build_design
from systolith.steps.workspace import write_json

__all__ = ["build_report", "read_report"]


def build_report(
    model: Any,
    *,
    device: str | None = None,
    speed: int | None = None,
    package: str | None = None,
    freq_mhz: float | None = None,
    seeds: int = 1,
    jobs: int = 1,
) -> dict[str, Any]:
    """Synthesize, place and route; write ``report.json`` and, if the clock is reached, a bitstream.

    Parameters
    ----------
    model : SystolithGraph
    device : str, optional
        Instead of the configuration's Part.
    speed : int, optional
        Grade.
    package : str, optional
    freq_mhz : float, optional
        Instead of the configuration's ClockPeriod.
    seeds, jobs : int
        Placements to try, and at once.

    Returns
    -------
    dict
        JSON values: ``Device``, ``ClockMHz`` and so on, see :func:`read_report`.

    Raises
    ------
    ConversionError
        If there is no such part.
    MissingProgramError, ToolError, TooLargeError
    """
    wanted = model.configuration
    try:
        section = BuildSection(
            device=device or wanted.part,
            speed=speed,
            package=package,
            clock_mhz=freq_mhz or wanted.clock_mhz,
            seeds=seeds,
            jobs=jobs,
        )
    except ValidationError as error:
        raise ConversionError(problem["msg"] for problem in error.errors()) from error
    if not model.folder.exists():
        model.write()
    found = build_design(model.plan, section, model.folder, lambda *_: None)
    plan = model.plan
    report = {
        "CyclesPerFrame": plan.cycles_per_frame,
        "LatencyCycles": plan.latency_cycles,
        "Multipliers": plan.multipliers,
        "Implementation": found,
    }
    write_json(model.folder / REPORT, report)
    return report


def read_report(folder: str | Path) -> dict[str, Any]:
    """Read what the last build of a project found.

    Parameters
    ----------
    folder : str or Path
        ``output_dir`` of the conversion.

    Returns
    -------
    dict
        ``CyclesPerFrame``, ``LatencyCycles`` and ``Multipliers`` of the plan; ``Implementation``
        has part, cells used, clocks, frames per second, the critical path.

    Raises
    ------
    FileNotFoundError
        If nothing was built there.
    """
    path = Path(folder) / REPORT
    if not path.exists():
        raise FileNotFoundError(f"{path}: nothing was built there; call build() first")
    report: dict[str, Any] = json.loads(path.read_text())
    return report
