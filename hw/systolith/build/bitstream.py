"""From Verilog to a bitstream: synthesis once, place and route with several seeds."""

import hashlib
import json
import statistics
from collections import Counter
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event

from systolith.build.families import flow_of
from systolith.build.netlist import read_netlist
from systolith.build.placement import pack, place
from systolith.build.synthesis import synthesize
from systolith.build.timing import PlacementReport, read_report
from systolith.devices import Constraints, Device
from systolith.devices.parts import Part
from systolith.devices.programs import find_programs

__all__ = ["Placed", "build_bitstream", "check_programs", "estimate_cells"]

POLL_SECONDS = 0.1

Progress = Callable[[int, int, str], None]
"""Hears how many steps of how many are done, and what is going on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """What place and route made of a design.

    Attributes
    ----------
    reports : dict of int to PlacementReport
        By seed.
    bitstream : Path or None
        Of the best seed; None if no seed is as fast as wanted.
    folder : Path
        With all that the tools wrote.
    """

    reports: dict[int, PlacementReport]
    bitstream: Path | None
    folder: Path

    @property
    def best_seed(self) -> int:
        """The fastest; of equal ones the first."""
        return max(self.reports, key=lambda seed: (self.reports[seed].fmax_mhz, -seed))

    @property
    def best(self) -> PlacementReport:
        """Of the fastest seed."""
        return self.reports[self.best_seed]

    @property
    def placement(self) -> Path:
        """The best seed's cells with their places, as JSON."""
        return self.folder / f"seed{self.best_seed}.placed.json"

    @property
    def median_mhz(self) -> float:
        """Clock of the middle seed."""
        return statistics.median(report.fmax_mhz for report in self.reports.values())


def check_programs(device: Device) -> None:
    """See that all programs are there before work starts; MissingProgramError if not."""
    find_programs(flow_of(device).programs)


def estimate_cells(
    verilog: str, top: str, device: Device, folder: Path, *, progress: Progress | None = None
) -> dict[str, int]:
    """Synthesize only, and count cells by type.

    Parameters
    ----------
    verilog : str
        The whole design.
    top : str
        Its top module.
    device : Device
    folder : Path
        Gets the netlist and the log; a netlist of the same design is reused.
    progress : callable, optional

    Raises
    ------
    MissingProgramError, ToolError
    """
    folder.mkdir(parents=True, exist_ok=True)

    def say(text: str) -> None:
        if progress is not None:
            progress(0, 1, text)

    netlist = read_netlist(_synthesized(verilog, top, device, folder, say))
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
    progress: Progress | None = None,
) -> Placed:
    """Synthesize, place, route and pack.

    What an earlier run left in the folder is reused if it was made of the same things: so an
    interrupted build goes on where it was.

    Parameters
    ----------
    verilog : str
        The whole design.
    top : str
        Its top module.
    part : Part
    folder : Path
        Gets everything: netlist, logs, reports; the bitstream, ``{top}`` with the family's ending,
        if the clock is reached.
    freq_mhz : float
        What the clock must be.
    seeds : int
        Placements to try, at least 1.
    jobs : int
        At once.
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
    flow = flow_of(part.device)
    if flow.placer is None:
        raise ValueError(f"{part.device.name} is for estimates only: nothing places on it")
    folder.mkdir(parents=True, exist_ok=True)
    steps, done = seeds + 2, 0

    def say(text: str) -> None:
        if progress is not None:
            progress(done, steps, text)

    bitstream = folder / f"{top}{flow.placer.bitstream}"
    # It may be of another design; should this build not end well, there is none.
    bitstream.unlink(missing_ok=True)
    netlist = _synthesized(verilog, top, part.device, folder, say)
    done = 1
    key = _key(netlist.read_text(), str(part), f"{freq_mhz:g}", str(constraints))

    def placed(seed: int, stop: Event) -> PlacementReport:
        nonlocal done
        report = _placed(netlist, part, seed, freq_mhz, constraints, key, say, stop)
        done += 1
        return report

    found = Placed(reports=_each(placed, seeds, jobs), bitstream=None, folder=folder)
    if not found.best.timing_met:
        return found
    say("bitstream")
    pack(folder, part, found.best_seed).replace(bitstream)
    return replace(found, bitstream=bitstream)


def _synthesized(
    verilog: str, top: str, device: Device, folder: Path, say: Callable[[str], None]
) -> Path:
    """Find the netlist again, or make it."""
    netlist, record = folder / f"{top}.json", folder / "synthesis.key"
    key = _key(verilog, top, *flow_of(device).synthesis(device))
    if not (netlist.exists() and _recorded(record) == key):
        record.unlink(missing_ok=True)
        (folder / f"{top}.v").write_text(verilog)
        synthesize([f"{top}.v"], top, folder, device, say)
        record.write_text(key)
    return netlist


def _each(
    placed: Callable[[int, Event], PlacementReport], seeds: int, jobs: int
) -> dict[int, PlacementReport]:
    """Place with every seed; if one fails, or this is interrupted, end the others at once."""
    stop = Event()
    with ThreadPoolExecutor(jobs) as pool:
        running = {seed: pool.submit(placed, seed, stop) for seed in range(1, seeds + 1)}
        try:
            # With a timeout, as a signal may come to a thread other than this, which handles it.
            left = set(running.values())
            while left:
                done, left = wait(left, POLL_SECONDS, FIRST_EXCEPTION)
                for future in done:
                    future.result()
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise
    return {seed: future.result() for seed, future in running.items()}


def _placed(
    netlist: Path,
    part: Part,
    seed: int,
    freq_mhz: float,
    constraints: Constraints | None,
    key: str,
    say: Callable[[str], None],
    stop: Event,
) -> PlacementReport:
    """Find a placement again, or make it."""
    folder, name = netlist.parent, f"seed{seed}"
    record = folder / f"{name}.key"
    if _recorded(record) == key:
        return read_report(folder / f"{name}.report.json")
    record.unlink(missing_ok=True)
    report = place(
        netlist,
        part,
        freq_mhz=freq_mhz,
        seed=seed,
        constraints=constraints,
        heard=lambda word: say(f"seed {seed}: {word}"),
        stop=stop,
    )
    record.write_text(key)
    return report


def _recorded(path: Path) -> str | None:
    return path.read_text() if path.exists() else None


def _key(*parts: str) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
