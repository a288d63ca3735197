"""What place and route reports: clock, critical path, what the design takes."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

__all__ = ["CriticalPath", "Hop", "PlacementReport", "read_report"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """A piece of the critical path within one module.

    Attributes
    ----------
    module : str
        Of the design, by its instance names joined by ``/``.
    logic_ns, routing_ns : float
        Of cells, and of the wires that lead into them.
    cells : int
        Cells passed.
    """

    module: str
    logic_ns: float
    routing_ns: float
    cells: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CriticalPath:
    """The slowest way from register to register.

    Attributes
    ----------
    start, end : str
        Cells, as synthesis named them.
    hops : tuple of Hop
        From start to end, neighbours of one module together.
    tiles : tuple of (int, int)
        Column and row of each tile from start to end.
    """

    start: str
    end: str
    hops: tuple[Hop, ...]
    tiles: tuple[tuple[int, int], ...] = ()

    @property
    def delay_ns(self) -> float:
        """Of the whole path."""
        return sum(hop.logic_ns + hop.routing_ns for hop in self.hops)

    def words(self) -> str:
        """Say where the path leads, in the names of modules."""
        parts = [
            f"{hop.module} ({hop.logic_ns:.1f} ns in {hop.cells} cells, "
            f"{hop.routing_ns:.1f} ns on wires)"
            for hop in self.hops
        ]
        return f"{self.delay_ns:.1f} ns: " + " -> ".join(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacementReport:
    """One run of place and route.

    Attributes
    ----------
    fmax_mhz : float
        Of the slowest clock that has a target, after routing.
    target_mhz : float
        Of the same clock.
    used, available : mapping of str to int
        Cells by type.
    path : CriticalPath or None
        None if no path was reported.
    """

    fmax_mhz: float
    target_mhz: float
    used: Mapping[str, int]
    available: Mapping[str, int]
    path: CriticalPath | None

    @property
    def timing_met(self) -> bool:
        """Whether the clock is as fast as it was wanted."""
        return self.fmax_mhz >= self.target_mhz


def read_report(path: Path) -> PlacementReport:
    """Read what nextpnr wrote with ``--report``.

    Raises
    ------
    ValueError
        If there is no clock in it.
    """
    content = json.loads(path.read_text())
    clocks = content["fmax"]
    if not clocks:
        raise ValueError(f"{path} reports no clock")
    slowest = min(clocks, key=lambda name: clocks[name]["achieved"] / clocks[name]["constraint"])
    found = clocks[slowest]
    paths = content.get("critical_paths", [])
    inside = [each for each in paths if _edge(each["from"]) == _edge(each["to"]) == slowest]
    return PlacementReport(
        fmax_mhz=found["achieved"],
        target_mhz=found["constraint"],
        used={kind: count["used"] for kind, count in content["utilization"].items()},
        available={kind: count["available"] for kind, count in content["utilization"].items()},
        path=_path(inside[0]["path"]) if inside else None,
    )


def _edge(clock: str) -> str:
    """A clock's name without its edge."""
    return clock.removeprefix("posedge ").removeprefix("negedge ")


def _path(segments: list[dict[str, Any]]) -> CriticalPath:
    hops = []
    for module, group in groupby(segments, key=lambda each: module_of(each["to"]["cell"])):
        inside = list(group)
        routing = sum(each["delay"] for each in inside if each["type"] == "routing")
        logic = sum(each["delay"] for each in inside if each["type"] != "routing")
        cells = len({each["to"]["cell"] for each in inside})
        hops.append(Hop(module=module, logic_ns=logic, routing_ns=routing, cells=cells))
    start, end = segments[0]["from"]["cell"], segments[-1]["to"]["cell"]
    ends = [segments[0]["from"], *(each["to"] for each in segments)]
    tiles = [tile for tile, _ in groupby((x, y) for x, y in (each["loc"] for each in ends))]
    return CriticalPath(start=start, end=end, hops=tuple(hops), tiles=tuple(tiles))


def module_of(cell: str) -> str:
    """Instance names of the module that a cell of a flattened netlist came from."""
    modules = cell.split(".")[:-1]
    return "/".join(modules) or "top"
