"""Netlists as the tools write them, and which engine a cell belongs to."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

__all__ = ["OTHER", "Cell", "Netlist", "Port", "engine_of", "read_netlist"]

OTHER = "other"
"""In place of an engine, for cells whose names have none."""
ACCELERATOR = "accelerator"
"""The instance on a board that has the engines in it."""


class Port(TypedDict):
    """A port of the top module; a bit is the number of a net, or a constant."""

    direction: str
    bits: list[int | str]


class Cell(TypedDict):
    """A cell as it stands in JSON."""

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
        Its name; nextpnr calls it ``top``.
    ports : mapping of str to Port
    cells : mapping of str to Cell
        By name: instance names joined by ``.``, then what synthesis made up.
    """

    top: str
    ports: Mapping[str, Port]
    cells: Mapping[str, Cell]


def read_netlist(path: Path) -> Netlist:
    """Read what yosys wrote with ``write_json``, or nextpnr with ``--write``.

    Raises
    ------
    ValueError
        If there is no top module in it.
    """
    modules = json.loads(path.read_bytes())["modules"]
    for name, module in modules.items():
        if int(module["attributes"].get("top", "0"), 2):
            return Netlist(top=name, ports=module["ports"], cells=module["cells"])
    raise ValueError(f"{path} has no top module")


def engine_of(cell: str) -> str:
    """Instance of the accelerator that a cell of a flattened netlist came from.

    Beside the accelerator, on a board: the instance that stands there. Names that synthesis made of
    those of nets outside of all instances belong to :data:`OTHER`.
    """
    first, *rest = cell.removeprefix(f"{ACCELERATOR}.").split(".")
    return first if rest and not first.startswith("$") else OTHER
