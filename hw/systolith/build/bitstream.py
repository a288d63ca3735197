"""From Verilog to a bitstream: synthesize once, place and route with several seeds."""

import hashlib
import json
import statistics
from collections import Counter
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event

from systolith.build.families import find_tools
from systolith.build.netlist import read_netlist
from systolith.build.place_and_route import pack, place_and_route
from systolith.build.synthesis import synthesize
from systolith.build.timing import PlacementReport, read_placement_report
from systolith.devices import Constraints, Device, Part, find_programs
from systolith.foundation import Progress, ProgressCallback, no_progress

__all__ = ["BuildResult", "build_bitstream", "check_programs", "estimate_cells"]

TASK = "build"
POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildResult:
    """Result of :func:`build_bitstream`.

    Attributes
    ----------
    reports : dict of int to PlacementReport
        By seed.
    bitstream : Path or None
        Of the best seed; None if no seed reaches the clock.
    folder : Path
        Holds all files that the tools wrote.
    """

    reports: dict[int, PlacementReport]
    bitstream: Path | None
    folder: Path

    @property
    def best_seed(self) -> int:
        """Seed of the fastest placement; the lowest seed if several are equally fast."""
        return max(self.reports, key=lambda seed: (self.reports[seed].fmax_mhz, -seed))

    @property
    def best(self) -> PlacementReport:
        """Report of the fastest placement."""
        return self.reports[self.best_seed]

    @property
    def placement(self) -> Path:
        """File with the cells of the fastest placement and their sites, as JSON."""
        return self.folder / f"seed{self.best_seed}.placed.json"

    @property
    def median_mhz(self) -> float:
        """Median clock over the seeds."""
        return statistics.median(report.fmax_mhz for report in self.reports.values())


def check_programs(device: Device) -> None:
    """Check that all programs are installed before work starts.

    Raises
    ------
    MissingProgramError
    """
    find_programs(find_tools(device).programs)


def estimate_cells(
    verilog: str,
    top: str,
    device: Device,
    folder: Path,
    *,
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
    progress : callable, optional

    Raises
    ------
    MissingProgramError, ToolError
    """
    folder.mkdir(parents=True, exist_ok=True)

    def report(text: str) -> None:
        progress(Progress(task=TASK, done=0, total=1, text=text))

    netlist = read_netlist(_synthesize_once(verilog, top, device, folder, report))
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
    constraints: Constraints | None = None,
    progress: ProgressCallback = no_progress,
) -> BuildResult:
    """Synthesize, place, route and pack.

    Results of an earlier run in `folder` are reused if their inputs are equal, so an interrupted
    build resumes.

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
        Placements that run at the same time.
    constraints : Constraints, optional
    progress : callable, optional

    Raises
    ------
    ValueError
        If the device is for estimates only.
    TooLargeError
        If the device has too few cells.
    MissingProgramError, ToolError
    """
    placer = find_tools(part.device).placer
    if placer is None:
        raise ValueError(f"{part.device.name} is for estimates only: nothing places on it")
    folder.mkdir(parents=True, exist_ok=True)
    done = 0

    def report(text: str) -> None:
        progress(Progress(task=TASK, done=done, total=seeds + 2, text=text))

    bitstream = folder / f"{top}{placer.bitstream}"
    # A bitstream of an earlier design must not remain if this build fails.
    bitstream.unlink(missing_ok=True)
    netlist = _synthesize_once(verilog, top, part.device, folder, report)
    done = 1
    key = _key(netlist.read_text(), str(part), f"{freq_mhz:g}", str(constraints))

    def place(seed: int, stop: Event) -> PlacementReport:
        nonlocal done
        record = folder / f"seed{seed}.key"
        if _read(record) == key:
            placed = read_placement_report(folder / f"seed{seed}.report.json")
        else:
            record.unlink(missing_ok=True)
            placed = place_and_route(
                netlist,
                part,
                freq_mhz=freq_mhz,
                seed=seed,
                constraints=constraints,
                progress=lambda phase: report(f"seed {seed}: {phase.text}"),
                stop=stop,
            )
            record.write_text(key)
        done += 1
        return placed

    result = BuildResult(reports=_place_all(place, seeds, jobs), bitstream=None, folder=folder)
    if not result.best.timing_met:
        return result
    report("bitstream")
    pack(folder, part, result.best_seed).replace(bitstream)
    return replace(result, bitstream=bitstream)


def _synthesize_once(
    verilog: str, top: str, device: Device, folder: Path, report: Callable[[str], None]
) -> Path:
    """Return the netlist of an earlier run if its inputs are equal; else synthesize."""
    netlist, record = folder / f"{top}.json", folder / "synthesis.key"
    key = _key(verilog, top, *find_tools(device).synthesis(device))
    if not (netlist.exists() and _read(record) == key):
        record.unlink(missing_ok=True)
        (folder / f"{top}.v").write_text(verilog)
        synthesize([f"{top}.v"], top, folder, device, lambda started: report(started.text))
        record.write_text(key)
    return netlist


def _place_all(
    place: Callable[[int, Event], PlacementReport], seeds: int, jobs: int
) -> dict[int, PlacementReport]:
    """Place with every seed; if one fails or the user interrupts, end the others at once."""
    stop = Event()
    with ThreadPoolExecutor(jobs) as pool:
        running = {seed: pool.submit(place, seed, stop) for seed in range(1, seeds + 1)}
        try:
            # The timeout lets this thread, which handles signals, see those that others receive.
            left = set(running.values())
            while left:
                finished, left = wait(left, POLL_SECONDS, FIRST_EXCEPTION)
                for future in finished:
                    future.result()
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise
    return {seed: future.result() for seed, future in running.items()}


def _read(path: Path) -> str | None:
    return path.read_text() if path.exists() else None


def _key(*parts: str) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
