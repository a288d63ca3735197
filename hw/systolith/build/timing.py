"""The report of place and route: clock, critical path, cells used."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

__all__ = ["CriticalPath", "Hop", "PlacementReport", "read_placement_report"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """A section of the critical path within one module.

    Attributes
    ----------
    module : str
        Instance names joined by ``/``.
    logic_ns, routing_ns : float
        Delay of the cells, and of the wires into them.
    cells : int
        Number of cells.
    """

    module: str
    logic_ns: float
    routing_ns: float
    cells: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CriticalPath:
    """The slowest path from register to register.

    Attributes
    ----------
    start, end : str
        Names of the cells from synthesis.
    hops : tuple of Hop
        From start to end; consecutive cells of one module are one hop.
    tiles : tuple of (int, int)
        Column and row of each tile from start to end.
    """

    start: str
    end: str
    hops: tuple[Hop, ...]
    tiles: tuple[tuple[int, int], ...] = ()

    @property
    def delay_ns(self) -> float:
        """Delay of the whole path."""
        return sum(hop.logic_ns + hop.routing_ns for hop in self.hops)

    def words(self) -> str:
        """Describe the path by its modules and their delays."""
        parts = [
            f"{hop.module} ({hop.logic_ns:.1f} ns in {hop.cells} cells, "
            f"{hop.routing_ns:.1f} ns on wires)"
            for hop in self.hops
        ]
        return f"{self.delay_ns:.1f} ns: " + " -> ".join(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacementReport:
    """Result of one run of place and route.

    Attributes
    ----------
    fmax_mhz : float
        Frequency after routing of the clock that misses its target most, relative to the target.
    target_mhz : float
        Target of that clock.
    used, available : mapping of str to int
        Cells by type.
    path : CriticalPath or None
        None if the report has no path.
    """

    fmax_mhz: float
    target_mhz: float
    used: Mapping[str, int]
    available: Mapping[str, int]
    path: CriticalPath | None

    @property
    def timing_met(self) -> bool:
        """Whether the clock reaches its target."""
        return self.fmax_mhz >= self.target_mhz


def read_placement_report(path: Path) -> PlacementReport:
    """Read a file that nextpnr wrote with ``--report``.

    Raises
    ------
    ValueError
        If the file has no clock.
    """
    content = json.loads(path.read_text())
    clocks = content["fmax"]
    if not clocks:
        raise ValueError(f"{path} reports no clock")
    slowest = min(clocks, key=lambda name: clocks[name]["achieved"] / clocks[name]["constraint"])
    paths = content.get("critical_paths", [])
    within = [path for path in paths if _edge(path["from"]) == _edge(path["to"]) == slowest]
    return PlacementReport(
        fmax_mhz=clocks[slowest]["achieved"],
        target_mhz=clocks[slowest]["constraint"],
        used={kind: count["used"] for kind, count in content["utilization"].items()},
        available={kind: count["available"] for kind, count in content["utilization"].items()},
        path=_path(within[0]["path"]) if within else None,
    )


def _edge(clock: str) -> str:
    """Return the name of a clock without its edge."""
    return clock.removeprefix("posedge ").removeprefix("negedge ")


def _path(segments: list[dict[str, Any]]) -> CriticalPath:
    hops = []
    for module, group in groupby(segments, key=lambda segment: module_of(segment["to"]["cell"])):
        within = list(group)
        routing = sum(segment["delay"] for segment in within if segment["type"] == "routing")
        logic = sum(segment["delay"] for segment in within if segment["type"] != "routing")
        cells = len({segment["to"]["cell"] for segment in within})
        hops.append(Hop(module=module, logic_ns=logic, routing_ns=routing, cells=cells))
    start, end = segments[0]["from"]["cell"], segments[-1]["to"]["cell"]
    ends = [segments[0]["from"], *(segment["to"] for segment in segments)]
    tiles = [tile for tile, _ in groupby((x, y) for x, y in (end["loc"] for end in ends))]
    return CriticalPath(start=start, end=end, hops=tuple(hops), tiles=tuple(tiles))


def module_of(cell: str) -> str:
    """Return the instance path of the module that a cell of a flattened netlist belongs to."""
    modules = cell.split(".")[:-1]
    return "/".join(modules) or "top"
