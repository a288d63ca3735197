"""Sites for multipliers and block RAMs of an ECP5, near the logic that they are connected to.

The static placer finds sites for multipliers and block RAMs first, one after the other. The last
ones get what is left, which can be on the other side of the chip, and their logic follows them. So
a design is placed twice. The first time it is a draft, in which LUTs stand for multipliers and
block RAMs: these find their place among the logic. The second time, each multiplier and each block
RAM has a fixed site near the place of its LUTs. nextpnr reads the site from the attribute ``BEL``.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from ortools.graph.python.linear_sum_assignment import SimpleLinearSumAssignment

from systolith.build.netlist import Cell, read_netlist
from systolith.build.placement import place_of, tile_of
from systolith.devices import Device
from systolith.foundation import write_text

__all__ = ["SITES", "Sites", "pin_hard_blocks", "write_draft"]

HARD = ("MULT18X18D", "DP16KD")
"""Cell types that have few sites, in columns or rows of their own."""
STAND_IN = ".stand_in_"
"""Between the name of a block and the number of one of its LUTs."""
CLOCKS = ("CLK", "RST", "CE", "OCE")
"""How pins begin that say nothing about the place of a block."""
LUT_PINS = "ABCD"

Place = tuple[float, float]
"""Column and row of a tile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sites:
    """Places of multipliers and block RAMs on a die, as nextpnr names them.

    Attributes
    ----------
    starts : tuple of int
        First column of each group of nine columns. A row has four multipliers or block RAMs there.
    multiplier_rows, memory_rows : tuple of int
    """

    starts: tuple[int, ...]
    multiplier_rows: tuple[int, ...]
    memory_rows: tuple[int, ...]

    def of(self, kind: str) -> Iterator[str]:
        """Name the sites of a cell type, column by column."""
        rows, name, numbers = (
            (self.multiplier_rows, "MULT18_", {0: 0, 1: 1, 4: 4, 5: 5})
            if kind == "MULT18X18D"
            else (self.memory_rows, "EBR", {0: 0, 2: 1, 4: 2, 6: 3})
        )
        for start in self.starts:
            for offset, number in numbers.items():
                for row in rows:
                    yield f"X{start + offset}/Y{row}/{name}{number}"


_25F = Sites(starts=(4, 13, 22, 33, 42, 51, 60), multiplier_rows=(13,), memory_rows=(25, 37))
SITES: Mapping[str, Sites] = {
    "ecp5-12f": _25F,
    "ecp5-25f": _25F,
    "ecp5-45f": Sites(
        starts=(4, 13, 22, 31, 42, 51, 60, 69, 78),
        multiplier_rows=(22, 46),
        memory_rows=(10, 34, 58),
    ),
    "ecp5-85f": Sites(
        starts=(4, 13, 22, 31, 40, 49, 58, 69, 78, 87, 96, 105, 114),
        multiplier_rows=(10, 34, 58),
        memory_rows=(22, 46, 70, 82),
    ),
}
"""By device. A 12F is a 25F inside."""


def write_draft(netlist: Path, draft: Path) -> bool:
    """Write a netlist in which LUTs stand for multipliers and block RAMs.

    A block has one LUT for each output that is read; its inputs are shared out to their pins.

    Parameters
    ----------
    netlist : Path
        From synthesis.
    draft : Path
        File to write.

    Returns
    -------
    bool
        Whether there are any such blocks; if not, nothing is written.
    """
    content = json.loads(netlist.read_bytes())
    cells = _top_cells(content)
    ends = Counter(
        wire for cell in cells.values() for wires in cell["connections"].values() for wire in wires
    )
    blocks = [name for name, cell in cells.items() if cell["type"] in HARD]
    if not blocks:
        return False
    for name in blocks:
        block = cells.pop(name)
        cells.update(_stand_ins(name, block, ends))
    write_text(draft, json.dumps(content))
    return True


def pin_hard_blocks(netlist: Path, placed: Path, device: Device, pinned: Path) -> None:
    """Write a netlist whose multipliers and block RAMs have fixed sites.

    The sum of the squared distances from the sites to the draft's LUTs is the least possible.

    Parameters
    ----------
    netlist : Path
        From synthesis.
    placed : Path
        The draft of the same design, as nextpnr placed it.
    device : Device
        A key of :data:`SITES`.
    pinned : Path
        File to write.
    """
    content = json.loads(netlist.read_bytes())
    cells, centers = _top_cells(content), _centers(read_netlist(placed).cells)
    for kind in HARD:
        # A block that nothing reads can be anywhere.
        names = [name for name, cell in cells.items() if cell["type"] == kind and name in centers]
        sites = list(SITES[device.name].of(kind))
        names = names[: len(sites)]  # nextpnr says that a design is too large
        chosen = _nearest([centers[name] for name in names], sites)
        for name, site in zip(names, chosen, strict=True):
            cells[name]["attributes"]["BEL"] = site
    write_text(pinned, json.dumps(content))


def _top_cells(content: Mapping[str, Any]) -> dict[str, Cell]:
    """Return the cells of the top module, to be changed."""
    cells: dict[str, Cell]
    (cells,) = (
        module["cells"]
        for module in content["modules"].values()
        if int(module["attributes"].get("top", "0"), 2)
    )
    return cells


def _stand_ins(name: str, block: Cell, ends: Mapping[int | str, int]) -> Iterator[tuple[str, Any]]:
    """Make the LUTs of a block; `ends` counts the pins on each wire."""
    inputs: list[int | str] = []
    outputs: list[int | str] = []
    for pin, wires in block["connections"].items():
        connected = [wire for wire in wires if isinstance(wire, int)]
        if block["port_directions"][pin] == "output":
            outputs += [wire for wire in connected if ends[wire] > 1]
        elif not pin.startswith(CLOCKS):
            inputs += connected
    for number, output in enumerate(outputs):
        first = number * len(LUT_PINS)
        pins = {
            pin: [inputs[(first + place) % len(inputs)] if inputs else "0"]
            for place, pin in enumerate(LUT_PINS)
        }
        yield (
            f"{name}{STAND_IN}{number}",
            Cell(
                type="LUT4",
                parameters={"INIT": f"{1:016b}"},
                attributes={},
                port_directions={pin: "input" for pin in LUT_PINS} | {"Z": "output"},
                connections=pins | {"Z": [output]},
            ),
        )


def _centers(cells: Mapping[str, Cell]) -> dict[str, Place]:
    """Return the median place of the LUTs of each block."""
    places: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for name, cell in cells.items():
        block, found, _ = name.partition(STAND_IN)
        if found and (place := place_of(cell)):
            places[block].append(place)
    return {
        block: (median(x for x, _ in found), median(y for _, y in found))
        for block, found in places.items()
    }


def _nearest(places: Sequence[Place], sites: Sequence[str]) -> list[str]:
    """Choose a site of its own for each place, so that the squares of the distances sum up least.

    Empty places, of no cost, take the sites that are left.
    """
    targets = np.array([tile_of(site) for site in sites])
    costs = np.zeros((len(sites), len(sites)), dtype=np.int64)
    if places:
        distances = np.abs(np.array(places)[:, None] - targets[None]).sum(axis=2)
        costs[: len(places)] = (2 * distances) ** 2  # a median can be half a tile
    assignment = SimpleLinearSumAssignment()
    left, right = np.indices(costs.shape)
    assignment.add_arcs_with_cost(left.ravel(), right.ravel(), costs.ravel())
    assert assignment.solve() == assignment.OPTIMAL
    return [sites[assignment.right_mate(number)] for number in range(len(places))]
