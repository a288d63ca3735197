"""From Verilog to a bitstream: synthesize once, place and route with several seeds."""

import hashlib
import json
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from threading import Event

from systolith.build.families import find_tools
from systolith.build.netlist import read_netlist
from systolith.build.place_and_route import pack, place_and_route
from systolith.build.placers import Placer, choose_placer, placer_problem
from systolith.build.result import BuildResult
from systolith.build.routers import Attempt, Router, choose_attempts, router_problem
from systolith.build.runs import Deadline, Runs, describe_unfinished
from systolith.build.synthesis import YOSYS, synthesize
from systolith.build.timing import PlacementReport, read_placement_report
from systolith.devices import (
    Constraints,
    Device,
    OutOfTimeError,
    Part,
    Tool,
    ToolSource,
    choose_programs,
)
from systolith.foundation import Progress, ProgressCallback, no_progress, write_text

__all__ = ["build_bitstream", "check_programs", "estimate_cells"]

TASK = "build"
CELL = '"type": "'
"""Occurs once for each cell of a netlist."""


def check_programs(device: Device, tools: ToolSource = ToolSource.AUTO) -> dict[str, Tool]:
    """Choose the programs of a build, and check that all are installed before work starts.

    Raises
    ------
    MissingProgramError
    """
    return choose_programs(find_tools(device).programs, tools)


def estimate_cells(
    verilog: str,
    top: str,
    device: Device,
    folder: Path,
    *,
    tools: ToolSource = ToolSource.AUTO,
    progress: ProgressCallback = no_progress,
) -> dict[str, int]:
    """Synthesize only, and count cells by type.

    Parameters
    ----------
    verilog : str
        Text of the whole design.
    top : str
        Name of its top module.
    device : Device
    folder : Path
        Receives the netlist and the log; the netlist of an equal design is reused.
    tools : ToolSource
        Where Yosys comes from.
    progress : callable, optional

    Raises
    ------
    MissingProgramError, ToolError
    """
    folder.mkdir(parents=True, exist_ok=True)

    def report(text: str) -> None:
        progress(Progress(task=TASK, done=0, total=1, text=text))

    programs = choose_programs([YOSYS], tools)
    path = _synthesize_once(verilog, top, device, folder, report, programs, Deadline())
    netlist = read_netlist(path)
    return dict(Counter(cell["type"] for cell in netlist.cells.values()))


def build_bitstream(
    verilog: str,
    top: str,
    part: Part,
    folder: Path,
    *,
    freq_mhz: float,
    seeds: int = 1,
    jobs: int = 1,
    placer: Placer = Placer.AUTO,
    router: Router = Router.AUTO,
    limit_s: float | None = None,
    tools: ToolSource = ToolSource.AUTO,
    constraints: Constraints | None = None,
    progress: ProgressCallback = no_progress,
) -> BuildResult:
    """Synthesize, place, route and pack.

    Results of an earlier run in `folder` are reused if their inputs are equal, so an interrupted
    build resumes. A time limit ends what still runs; the fastest of the finished runs counts.

    Parameters
    ----------
    verilog : str
        Text of the whole design.
    top : str
        Name of its top module.
    part : Part
    folder : Path
        Receives netlist, logs and reports, and if the clock is reached the bitstream: ``{top}``
        with the suffix of the family.
    freq_mhz : float
        Target clock.
    seeds : int
        Placements to try, at least 1.
    jobs : int
        Runs of place and route at the same time.
    placer : Placer
    router : Router
        Routers to try with each seed.
    limit_s : float, optional
        Seconds that the build may take, synthesis included.
    tools : ToolSource
        Where the programs come from.
    constraints : Constraints, optional
    progress : callable, optional

    Raises
    ------
    ValueError
        If the device is for estimates only, or the placer or the router does not know it.
    TooLargeError
        If the device has too few cells.
    OutOfTimeError
        If no run ended within the limit.
    MissingProgramError, ToolError
    """
    nextpnr = find_tools(part.device).nextpnr
    if nextpnr is None:
        raise ValueError(f"{part.device.name} is for estimates only: nothing places on it")
    if problem := placer_problem(placer, nextpnr) or router_problem(router, nextpnr):
        raise ValueError(f"{part.device.name}: {problem}")
    programs = check_programs(part.device, tools)
    deadline = Deadline.after(limit_s)
    folder.mkdir(parents=True, exist_ok=True)
    done, total = 0, seeds + 2

    def report(text: str) -> None:
        progress(Progress(task=TASK, done=min(done, total), total=total, text=text))

    bitstream = folder / f"{top}{nextpnr.bitstream}"
    # A bitstream of an earlier design must not remain if this build fails.
    bitstream.unlink(missing_ok=True)
    netlist = _synthesize_once(verilog, top, part.device, folder, report, programs, deadline)
    text = netlist.read_text()
    chosen = choose_placer(placer, nextpnr)
    attempts, replacements = choose_attempts(router, nextpnr, text.count(CELL), seeds)
    done, total = 1, len(attempts) + 2
    version = str(programs[nextpnr.program].version)
    key = _key(text, str(part), f"{freq_mhz:g}", str(constraints), chosen, version)

    def place(attempt: Attempt, stop: Event, limit_s: float | None) -> PlacementReport:
        nonlocal done
        record = folder / f"{attempt.name}.key"
        if _read(record) == key:
            placed = read_placement_report(folder / f"{attempt.name}.report.json")
        elif limit_s == 0:
            raise OutOfTimeError(f"{attempt} did not start")
        else:
            record.unlink(missing_ok=True)
            placed = place_and_route(
                netlist,
                part,
                freq_mhz=freq_mhz,
                seed=attempt.seed,
                placer=chosen,
                router=attempt.router,
                constraints=constraints,
                progress=lambda phase: report(f"{attempt}: {phase.text}"),
                stop=stop,
                programs=programs,
                limit_s=limit_s,
            )
            write_text(record, key)
        done += 1
        return placed

    runs = Runs(place, deque(attempts), replacements, deadline)
    runs.run(jobs)
    if not runs.reports:
        assert limit_s is not None
        raise OutOfTimeError(
            f"no seed was placed and routed in {limit_s / 60:.3g} minutes; without a result: "
            f"{describe_unfinished(runs.unfinished)}. The netlist is kept"
        )
    result = BuildResult(
        routes=runs.reports,
        bitstream=None,
        folder=folder,
        placer=chosen,
        unfinished=tuple(sorted(runs.unfinished)),
        programs=programs,
    )
    if not result.best.timing_met:
        return result
    report("bitstream")
    pack(folder, part, result.best_attempt, programs).replace(bitstream)
    return replace(result, bitstream=bitstream)


def _synthesize_once(
    verilog: str,
    top: str,
    device: Device,
    folder: Path,
    report: Callable[[str], None],
    programs: Mapping[str, Tool],
    deadline: Deadline,
) -> Path:
    """Return the netlist of an earlier run if its inputs are equal; else synthesize."""
    netlist, record = folder / f"{top}.json", folder / "synthesis.key"
    key = _key(verilog, top, str(programs[YOSYS].version), *find_tools(device).synthesis(device))
    if not (netlist.exists() and _read(record) == key):
        record.unlink(missing_ok=True)
        (folder / f"{top}.v").write_text(verilog)
        synthesize(
            [f"{top}.v"],
            top,
            folder,
            device,
            lambda started: report(started.text),
            programs=programs,
            limit_s=deadline.left_s(),
        )
        write_text(record, key)
    return netlist


def _read(path: Path) -> str | None:
    return path.read_text() if path.exists() else None


def _key(*parts: str) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
