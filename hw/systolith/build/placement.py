"""Place and route a netlist, and make a bitstream of it."""

import re
from pathlib import Path
from threading import Event

from systolith.build.families import flow_of
from systolith.build.timing import PlacementReport, read_report
from systolith.devices import Constraints
from systolith.devices.parts import Part
from systolith.devices.programs import Heard, run_program

__all__ = ["TooLargeError", "pack", "place"]

PHASES = {
    "Info: Packing constants": "packing",
    "Info: Creating initial analytic placement": "placing",
    "Info: Running simulated annealing": "placing",
    "Info: Routing": "routing",
    "Info: Program finished": "done",
}
"""What nextpnr prints when it begins something, and a word for it."""

UTILISATION = re.compile(r"Info:\s+(\w+):\s*(\d+)/\s*(\d+)\s+\d+%")
"""How it says how many cells of a type are used, of how many."""


class TooLargeError(RuntimeError):
    """A design that needs more cells than the device has."""


def place(
    netlist: Path,
    part: Part,
    *,
    freq_mhz: float,
    seed: int,
    constraints: Constraints | None = None,
    pins: bool = True,
    heard: Heard | None = None,
    stop: Event | None = None,
) -> PlacementReport:
    """Place and route a netlist, whether or not the clock is reached.

    Writes ``seed{N}.report.json``, ``.placed.json`` and ``.log`` beside the netlist, and what the
    bitstream is made of.

    Parameters
    ----------
    netlist : Path
    part : Part
    freq_mhz : float
        What the clock should be.
    seed : int
        Of the placement.
    constraints : Constraints, optional
    pins : bool
        Whether ports are pins; else they end inside, to measure a part of a design, which only the
        tools for ECP5 can.
    heard : callable, optional
        Hears of phases.
    stop : Event, optional
        Set by another thread to end it.

    Raises
    ------
    TooLargeError
        If the device has too few cells of a type: nextpnr would go on looking for places.
    MissingProgramError, ToolError
    CancelledError
        If it was stopped.
    """
    flow = flow_of(part.device)
    placer, counted = flow.placer, set().union(*flow.cells.values())
    assert placer is not None
    folder, name = netlist.parent, f"seed{seed}"
    report = folder / f"{name}.report.json"
    (folder / f"{name}.pins").write_text(placer.constraints(constraints or Constraints(pins={})))
    arguments = [
        *placer.options(part),
        *(placer.files(name) if pins else ["--out-of-context"]),
        *("--json", netlist.name, "--top", netlist.stem),
        *("--freq", f"{freq_mhz:g}", "--seed", str(seed), "--timing-allow-fail"),
        *("--report", report.name, "--write", f"{name}.placed.json"),
    ]

    def phase(line: str) -> None:
        if (found := UTILISATION.match(line)) and found[1] in counted:
            kind, used, available = found[1], int(found[2]), int(found[3])
            if used > available:
                raise TooLargeError(
                    f"the design takes {used:,} {kind}, but {part.device.name} has {available:,}; "
                    f"the whole log is {folder / name}.log"
                )
        for begin, word in PHASES.items():
            if heard is not None and line.startswith(begin):
                heard(word)

    report.unlink(missing_ok=True)
    run_program(placer.program, arguments, folder, f"{name}.log", phase, stop=stop)
    return read_report(report)


def pack(folder: Path, part: Part, seed: int) -> Path:
    """Make a bitstream of what was placed: ``seed{N}`` with the family's ending.

    Raises
    ------
    MissingProgramError, ToolError
    """
    placer, name = flow_of(part.device).placer, f"seed{seed}"
    assert placer is not None
    bitstream = folder / f"{name}{placer.bitstream}"
    temporary = folder / f".{bitstream.name}.tmp"
    run_program(placer.packer, placer.packing(part, name, temporary.name), folder, "pack.log")
    return temporary.replace(bitstream)
