"""Netlists as the tools write them, and the engine that each cell belongs to."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

__all__ = ["OTHER", "Cell", "Netlist", "NetlistPort", "engine_of", "read_netlist"]

OTHER = "other"
"""Stands for the engine of cells whose names contain none."""
ACCELERATOR = "accelerator"
"""Instance of a board's top module that contains the engines."""


class NetlistPort(TypedDict):
    """A port of the top module; each bit is the number of a net or a constant."""

    direction: str
    bits: list[int | str]


class Cell(TypedDict):
    """A cell in the JSON format of Yosys."""

    type: str
    parameters: dict[str, str]
    attributes: dict[str, str]
    port_directions: dict[str, str]
    connections: dict[str, list[int | str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Netlist:
    """The flattened top module.

    Attributes
    ----------
    top : str
        Name; nextpnr always writes ``top``.
    ports : mapping of str to NetlistPort
    cells : mapping of str to Cell
        By name: instance names joined by ``.``, then a name that synthesis chose.
    """

    top: str
    ports: Mapping[str, NetlistPort]
    cells: Mapping[str, Cell]


def read_netlist(path: Path) -> Netlist:
    """Read a file that Yosys wrote with ``write_json``, or nextpnr with ``--write``.

    Raises
    ------
    ValueError
        If the file has no top module.
    """
    modules = json.loads(path.read_bytes())["modules"]
    for name, module in modules.items():
        if int(module["attributes"].get("top", "0"), 2):
            return Netlist(top=name, ports=module["ports"], cells=module["cells"])
    raise ValueError(f"{path} has no top module")


def engine_of(cell: str) -> str:
    """Return the instance of the accelerator that a cell of a flattened netlist belongs to.

    Cells of a board outside the accelerator belong to the instance of the board's top module. Cells
    that synthesis named after nets outside all instances belong to :data:`OTHER`.
    """
    first, *rest = cell.removeprefix(f"{ACCELERATOR}.").split(".")
    return first if rest and not first.startswith("$") else OTHER
