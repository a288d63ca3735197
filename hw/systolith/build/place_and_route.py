"""Place and route a netlist, and pack a bitstream."""

import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from threading import Event

from systolith.build.families import find_tools
from systolith.build.hard_blocks import pin_hard_blocks, write_draft
from systolith.build.routers import Attempt
from systolith.build.runs import Deadline
from systolith.build.timing import PlacementReport, read_placement_report
from systolith.devices import Constraints, Part, Tool, run_program
from systolith.foundation import Progress, ProgressCallback, no_progress, replacing

__all__ = ["TooLargeError", "pack", "place_and_route"]

PHASES = (
    ("Info: Packing constants", "packing"),
    ("Info: Creating initial analytic placement", "placing"),
    ("Info: Running Static placer", "placing"),
    ("Info: Running simulated annealing", "placing"),
    ("Info: Routing", "routing"),
    ("Info: Tool finished", "done"),
)
"""How the line begins that nextpnr prints at the start of a phase, and the name of the phase."""
ORDER = tuple(dict.fromkeys(name for _, name in PHASES))

UTILISATION = re.compile(r"Info:\s+(\w+):\s*(\d+)/\s*(\d+)\s+\d+%")
"""A line of nextpnr with a cell type, how many cells the design uses and how many there are."""


class TooLargeError(RuntimeError):
    """A design that needs more cells than the device has."""


def place_and_route(
    netlist: Path,
    part: Part,
    *,
    freq_mhz: float,
    seed: int,
    placer: str = "heap",
    router: str = "router1",
    constraints: Constraints | None = None,
    pins: bool = True,
    progress: ProgressCallback = no_progress,
    stop: Event | None = None,
    programs: Mapping[str, Tool] | None = None,
    limit_s: float | None = None,
) -> PlacementReport:
    """Place and route a netlist, whether or not the design reaches the clock.

    The static placer places a design with multipliers or block RAMs twice, see
    :mod:`systolith.build.hard_blocks`.

    Writes ``seed{N}.{router}.report.json``, ``.placed.json`` and ``.log`` beside the netlist, and
    the files that :func:`pack` reads. An error leaves none of them but the log.

    Parameters
    ----------
    netlist : Path
        ``{top}.json``.
    part : Part
    freq_mhz : float
        Target clock.
    seed : int
        Seed of the placement.
    placer : str
        ``"heap"`` or ``"static"``.
    router : str
        ``"router1"`` or ``"router2"``.
    constraints : Constraints, optional
    pins : bool
        Connect ports to pins. False leaves them inside, to measure a part of a design; only the
        tools for ECP5 can do that.
    progress : callable, optional
        Called at the start of each phase of nextpnr.
    stop : Event, optional
        Another thread sets it to cancel.
    programs : mapping of str to Tool, optional
        Those of the build, by name; found by their names by default.
    limit_s : float, optional
        Seconds after which nextpnr is ended.

    Raises
    ------
    TooLargeError
        If the device has too few cells of a type. nextpnr itself would go on searching.
    MissingProgramError, OutOfTimeError, ToolError
    CancelledError
        If `stop` was set.
    """
    tools = find_tools(part.device)
    nextpnr, counted = tools.nextpnr, set().union(*tools.cells.values())
    assert nextpnr is not None
    folder, name = netlist.parent, Attempt(seed, router).name
    report = folder / f"{name}.report.json"
    draft, drafted, pinned = (
        folder / f"{name}.{kind}.json" for kind in ("draft", "drafted", "pinned")
    )
    (folder / f"{name}.pins").write_text(nextpnr.constraints(constraints or Constraints(pins={})))
    arguments = [
        *nextpnr.options(part),
        *(nextpnr.files(name) if pins else ["--out-of-context"]),
        *("--top", netlist.stem, "--freq", f"{freq_mhz:g}", "--seed", str(seed)),
        *("--timing-allow-fail", "--placer", placer, "--router", router),
    ]
    deadline = Deadline.after(limit_s)

    def read_line(line: str) -> None:
        if (use := UTILISATION.match(line)) and use[1] in counted:
            kind, used, available = use[1], int(use[2]), int(use[3])
            if used > available:
                raise TooLargeError(
                    f"the design takes {used:,} {kind}, but {part.device.name} has {available:,}; "
                    f"the whole log is {folder / name}.log"
                )
        for start, phase in PHASES:
            if line.startswith(start):
                done, total = ORDER.index(phase), len(ORDER) - 1
                progress(Progress(task=name, done=done, total=total, text=phase))

    def run(source: Path, log: str, *options: str) -> None:
        run_program(
            nextpnr.program,
            [*arguments, "--json", source.name, *options],
            folder,
            log,
            read_line,
            stop=stop,
            limit_s=deadline.left_s(),
            path=programs[nextpnr.program].path if programs else None,
        )

    report.unlink(missing_ok=True)
    source = netlist
    try:
        if placer == "static" and write_draft(netlist, draft):
            # A device that is nearly full has no room for a draft; then blocks stay free.
            with suppress(TooLargeError):
                run(draft, f"{name}.draft.log", "--no-route", "--write", drafted.name)
                pin_hard_blocks(netlist, drafted, part.device, pinned)
                source = pinned
        run(source, f"{name}.log", "--report", report.name, "--write", f"{name}.placed.json")
    except BaseException:
        for path in folder.glob(f"{name}.*"):
            if path.suffix != ".log":
                path.unlink()
        raise
    for path in (draft, drafted, pinned):
        path.unlink(missing_ok=True)
    return read_placement_report(report)


def pack(
    folder: Path, part: Part, attempt: Attempt, programs: Mapping[str, Tool] | None = None
) -> Path:
    """Make a bitstream from a placed design: the name of the attempt with the family's suffix.

    Raises
    ------
    MissingProgramError, ToolError
    """
    nextpnr, name = find_tools(part.device).nextpnr, attempt.name
    assert nextpnr is not None
    bitstream = folder / f"{name}{nextpnr.bitstream}"
    path = programs[nextpnr.packer].path if programs else None
    with replacing(bitstream) as temporary:
        arguments = nextpnr.packing(part, name, temporary.name)
        run_program(nextpnr.packer, arguments, folder, "pack.log", path=path)
    return bitstream
