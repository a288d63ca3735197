"""Count the cells that each engine of a netlist uses."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from systolith.build.netlist import OTHER, Cell, Netlist, engine_of, read_netlist

__all__ = ["TAKES", "CellCounts", "cells_by_engine", "count_cells", "engines_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CellCounts:
    """Resources of a device.

    Attributes
    ----------
    luts : int
        LUTs with four inputs, including those in carry chains and in memories made of LUTs.
    flip_flops, dsps, block_rams : int
    """

    luts: int = 0
    flip_flops: int = 0
    dsps: int = 0
    block_rams: int = 0

    def __add__(self, other: "CellCounts") -> "CellCounts":
        """Add the counts of two parts of a design."""
        return CellCounts(
            luts=self.luts + other.luts,
            flip_flops=self.flip_flops + other.flip_flops,
            dsps=self.dsps + other.dsps,
            block_rams=self.block_rams + other.block_rams,
        )

    def __mul__(self, times: int) -> "CellCounts":
        """Count a number of equal cells."""
        return CellCounts(
            luts=self.luts * times,
            flip_flops=self.flip_flops * times,
            dsps=self.dsps * times,
            block_rams=self.block_rams * times,
        )


TAKES = {
    # after synthesis
    "LUT4": CellCounts(luts=1),
    "CCU2C": CellCounts(luts=2),
    "TRELLIS_DPR16X4": CellCounts(luts=6),
    # after placement
    "TRELLIS_COMB": CellCounts(luts=1),
    # in both
    "TRELLIS_FF": CellCounts(flip_flops=1),
    "MULT18X18D": CellCounts(dsps=1),
    "DP16KD": CellCounts(block_rams=1),
    # after placement, other families
    "OXIDE_COMB": CellCounts(luts=1),
    "OXIDE_FF": CellCounts(flip_flops=1),
    "MULT18_CORE": CellCounts(dsps=1),
    "OXIDE_EBR": CellCounts(block_rams=1),
    "ICESTORM_LC": CellCounts(luts=1),
    "ICESTORM_DSP": CellCounts(dsps=1),
    "ICESTORM_RAM": CellCounts(block_rams=1),
    "ALU": CellCounts(luts=1),
    "RAM16SDP4": CellCounts(luts=4),
    "DFF": CellCounts(flip_flops=1),
    "MULT18X18": CellCounts(dsps=1),
    "BSRAM": CellCounts(block_rams=1),
}
"""Resources by cell type. Other types use none: PFUMX and L6MUX21 are part of a slice with LUTs."""

CARRY = {"CCU2C": ("CIN", "COUT"), "TRELLIS_COMB": ("FCI", "FCO")}
"""Carry input and carry output of a cell type."""


def cells_by_engine(path: Path) -> dict[str, CellCounts]:
    """Count the cells of each engine in a netlist, synthesized or placed.

    Both kinds of netlist give equal counts for one design, and their sum is what nextpnr reports.
    Only the one or two LUTs that nextpnr creates for constants are missing before placement.

    Parameters
    ----------
    path : Path
        ``TOP.json`` from Yosys or ``seedN.placed.json`` from nextpnr.

    Returns
    -------
    dict of str to CellCounts
        By instance name of the engine, most LUTs first. :data:`OTHER` has the cells whose names
        contain no engine. Synthesis names a cell after a net that it connects to, which may belong
        to the neighbouring engine.

    Raises
    ------
    ValueError
        If the file has no top module.
    """
    return count_cells(read_netlist(path))


def count_cells(netlist: Netlist) -> dict[str, CellCounts]:
    """Count like :func:`cells_by_engine`, in a netlist in memory."""
    chains = _Chains(netlist.cells)
    engines = chains.engines(netlist.cells)
    kinds = Counter((engines[name], cell["type"]) for name, cell in netlist.cells.items())
    # nextpnr adds a cell between a carry chain and other logic.
    kinds.update((engines[name], "CCU2C") for name in chains.synthesized_ends())
    counts: dict[str, CellCounts] = {}
    for (engine, kind), times in kinds.items():
        if kind in TAKES:
            counts[engine] = counts.get(engine, CellCounts()) + TAKES[kind] * times
    return dict(sorted(counts.items(), key=lambda item: (-item[1].luts, item[0])))


def engines_of(netlist: Netlist) -> dict[str, str]:
    """Find the engine of every cell, by cell name."""
    return _Chains(netlist.cells).engines(netlist.cells)


class _Chains:
    """Carry chains. A cell whose name contains no engine belongs to that of its neighbours."""

    def __init__(self, cells: Mapping[str, Cell]) -> None:
        self.cells = {name: cell for name, cell in cells.items() if cell["type"] in CARRY}
        from_bit = {bit: name for name in self.cells for bit in self._bits(name, 0)}
        to_bit = {bit: name for name in self.cells for bit in self._bits(name, 1)}
        self.after = {to_bit[bit]: name for bit, name in from_bit.items() if bit in to_bit}
        self.before = {later: earlier for earlier, later in self.after.items()}

    def engines(self, names: Iterable[str]) -> dict[str, str]:
        """Find the engine of each cell by its own name, else by the names of its neighbours."""
        return {name: self._engine(name) for name in names}

    def _engine(self, name: str) -> str:
        for along in (self.before, self.after):
            cell: str | None = name
            while cell is not None:
                if (engine := engine_of(cell)) != OTHER:
                    return engine
                cell = along.get(cell)
        return OTHER

    def synthesized_ends(self) -> Iterator[str]:
        """List the first and last cells of each chain that is not placed yet."""
        for name, cell in self.cells.items():
            if cell["type"] == "CCU2C":
                for side, neighbours in enumerate((self.before, self.after)):
                    if self._bits(name, side) and name not in neighbours:
                        yield name

    def _bits(self, name: str, side: int) -> list[int | str]:
        cell = self.cells[name]
        bits = cell["connections"].get(CARRY[cell["type"]][side], [])
        return [bit for bit in bits if bit != "x"]
