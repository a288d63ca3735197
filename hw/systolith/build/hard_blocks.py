"""Sites for multipliers and block RAMs of an ECP5, near the logic that they are connected to.

The static placer keeps wires short, but the last multipliers get what sites are left, which can be
on the other side of the chip. So a design is placed twice: the second time, each multiplier and
each block RAM has a fixed site near the place that its logic had the first time. nextpnr reads the
site from the attribute ``BEL``.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
from ortools.graph.python.linear_sum_assignment import SimpleLinearSumAssignment

from systolith.build.netlist import Cell, read_netlist
from systolith.build.placement import place_of
from systolith.devices import Device
from systolith.foundation import write_text

__all__ = ["SITES", "Sites", "pin_hard_blocks"]

HARD = ("MULT18X18D", "DP16KD")
"""Cell types that have few sites, in columns or rows of their own."""
HOPS = 3
"""A block's logic is at most this number of wires away."""
MOST_SINKS = 16
"""Cells on a wire that says where they belong; wires with more go everywhere."""

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


def pin_hard_blocks(netlist: Path, placed: Path, device: Device, pinned: Path) -> None:
    """Write a netlist whose multipliers and block RAMs have fixed sites.

    The sum of the squared distances from the sites to the logic is the least possible.

    Parameters
    ----------
    netlist : Path
        From synthesis.
    placed : Path
        The same design as nextpnr placed it.
    device : Device
        A key of :data:`SITES`.
    pinned : Path
        File to write.
    """
    content = json.loads(netlist.read_bytes())
    cells = next(
        module["cells"]
        for module in content["modules"].values()
        if int(module["attributes"].get("top", "0"), 2)
    )
    surroundings = _Surroundings(read_netlist(placed).cells)
    for kind in HARD:
        names = [name for name, cell in cells.items() if cell["type"] == kind]
        sites = list(SITES[device.name].of(kind))
        places = [surroundings.center_of(name) for name in names]
        for name, site in zip(names, _nearest(places, sites), strict=True):
            cells[name]["attributes"]["BEL"] = site
    write_text(pinned, json.dumps(content))


class _Surroundings:
    """Which cells of a placed design are connected, and where they are."""

    def __init__(self, cells: Mapping[str, Cell]) -> None:
        self.places = {name: place_of(cell) for name, cell in cells.items()}
        self.hard = {name for name, cell in cells.items() if cell["type"] in HARD}
        self.cells_on: dict[int, list[str]] = defaultdict(list)
        self.wires_of: dict[str, set[int]] = defaultdict(set)
        for name, cell in cells.items():
            for wires in cell["connections"].values():
                for wire in wires:
                    if isinstance(wire, int):
                        self.cells_on[wire].append(name)
        for wire, names in self.cells_on.items():
            if len(names) <= MOST_SINKS:
                for name in names:
                    self.wires_of[name].add(wire)

    def center_of(self, block: str) -> Place:
        """Return the median place of a block's logic; its own place if it has none."""
        seen, latest = {block}, {block}
        for _ in range(HOPS):
            wires = {wire for name in latest - self.hard | {block} for wire in self.wires_of[name]}
            latest = {name for wire in wires for name in self.cells_on[wire]} - seen
            seen |= latest
        placed = (self.places[name] for name in seen - self.hard)
        logic = [place for place in placed if place is not None]
        if not logic:
            own = self.places[block]
            assert own is not None
            return own
        return median(x for x, _ in logic), median(y for _, y in logic)


def _nearest(places: Sequence[Place], sites: Sequence[str]) -> list[str]:
    """Choose a site of its own for each place, so that the squares of the distances sum up least.

    Empty places, of no cost, take the sites that are left.
    """
    targets = np.array([_tile(site) for site in sites])
    costs = np.zeros((len(sites), len(sites)), dtype=np.int64)
    if places:
        distances = np.abs(np.array(places)[:, None] - targets[None]).sum(axis=2)
        costs[: len(places)] = (2 * distances) ** 2  # a median can be half a tile
    assignment = SimpleLinearSumAssignment()
    left, right = np.indices(costs.shape)
    assignment.add_arcs_with_cost(left.ravel(), right.ravel(), costs.ravel())
    assert assignment.solve() == assignment.OPTIMAL
    return [sites[assignment.right_mate(number)] for number in range(len(places))]


def _tile(site: str) -> tuple[int, int]:
    """Return column and row of a site."""
    x, y, _ = site.split("/")
    return int(x[1:]), int(y[1:])
