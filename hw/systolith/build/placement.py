"""Sites of the cells of a placed design."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from systolith.build.cells import TAKES, CellCounts, count_cells, engines_of
from systolith.build.netlist import Cell, Netlist, read_netlist

__all__ = ["PlacedCell", "Placement", "Site", "place_of", "read_placement", "tile_of"]

PLACE = re.compile(r"X(\d+)/?Y(\d+)/")


class Site(Enum):
    """Kind of a site on a device."""

    LOGIC = "logic"
    """LUTs and flip-flops."""
    DSP = "dsp"
    BLOCK_RAM = "block RAM"
    PIN = "pin"
    OTHER = "other"


PINS = ("TRELLIS_IO", "SB_IO", "IBUF", "OBUF", "SEIO33_CORE", "SEIO18_CORE")


def site_of(kind: str) -> Site:
    """Return the kind of site that holds a cell type."""
    takes = TAKES.get(kind, CellCounts())
    if takes.luts or takes.flip_flops:
        return Site.LOGIC
    if takes.dsps:
        return Site.DSP
    if takes.block_rams:
        return Site.BLOCK_RAM
    return Site.PIN if kind in PINS else Site.OTHER


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedCell:
    """A cell and its tile.

    Attributes
    ----------
    engine : str
        See :func:`systolith.build.engine_of`.
    site : Site
    x, y : int
        Column and row of the tile, from the upper left corner.
    """

    engine: str
    site: Site
    x: int
    y: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """A placed design.

    Attributes
    ----------
    cells : tuple of PlacedCell
    counts : mapping of str to CellCounts
        By engine, see :func:`systolith.build.cells_by_engine`.
    """

    cells: tuple[PlacedCell, ...]
    counts: Mapping[str, CellCounts]

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows of tiles up to the outermost cell.

        The outermost cell usually is a pin; then this is the size of the device.
        """
        return 1 + max(cell.x for cell in self.cells), 1 + max(cell.y for cell in self.cells)


def read_placement(path: Path) -> Placement:
    """Read a file that nextpnr wrote with ``--write``.

    Raises
    ------
    ValueError
        If the file has no top module or no placed cell.
    """
    netlist = read_netlist(path)
    cells = tuple(_placed_cells(netlist))
    if not cells:
        raise ValueError(f"{path} has no cell that is placed")
    return Placement(cells=cells, counts=count_cells(netlist))


def _placed_cells(netlist: Netlist) -> list[PlacedCell]:
    engines = engines_of(netlist)
    return [
        PlacedCell(
            engine=engines[name],
            site=site_of(cell["type"]),
            x=place[0],
            y=place[1],
        )
        for name, cell in netlist.cells.items()
        if (place := place_of(cell))
    ]


def place_of(cell: Cell) -> tuple[int, int] | None:
    """Return column and row of a cell's tile; None if it is not placed."""
    return tile_of(cell["attributes"].get("NEXTPNR_BEL", ""))


def tile_of(site: str) -> tuple[int, int] | None:
    """Return column and row of a site, by nextpnr's name of it; None if it is no name of a site."""
    place = PLACE.match(site)
    return None if place is None else (int(place[1]), int(place[2]))
