"""From a model to a bitstream, and the report of it."""

from typing import Any

from pydantic import ValidationError

from systolith.config import BuildSection
from systolith.hls4ml_backend.errors import ConversionError
from systolith.hls4ml_backend.names import REPORT
from systolith.stages.building import build_design
from systolith.stages.workspace import write_json

__all__ = ["build_report"]

OPTIONS = ("device", "speed", "package", "freq_mhz", "seeds", "jobs")


def build_report(
    model: Any,
    *,
    device: str | None = None,
    speed: int | None = None,
    package: str | None = None,
    freq_mhz: float | None = None,
    seeds: int = 1,
    jobs: int = 1,
    **others: object,
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
        JSON values, see :func:`systolith.hls4ml_backend.read_report`.

    Raises
    ------
    ConversionError
        If there is no such part or option.
    MissingProgramError, ToolError, TooLargeError
    """
    ConversionError.raise_if_any(
        f"build() has no option {name!r}; there are {', '.join(OPTIONS)}" for name in others
    )
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
