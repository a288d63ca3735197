"""Pin multipliers and block RAMs of an ECP5 to sites in the order of the data flow.

nextpnr reads the attribute ``BEL`` of such a cell. Regions for whole engines would need its Python
interface, which the wheels do not have. LUTs and flip-flops follow the cells that are pinned.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from systolith.build.netlist import engine_of
from systolith.devices import Device
from systolith.foundation import write_text

__all__ = ["SITES", "Sites", "pin_engines"]

NUMBER = re.compile(r"(\d+)")


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


def pin_engines(netlist: Path, device: Device, engines: Sequence[str]) -> Path:
    """Write a netlist whose multipliers and block RAMs lie from left to right, engine by engine.

    Parameters
    ----------
    netlist : Path
        ``{top}.json``.
    device : Device
        A key of :data:`SITES`.
    engines : sequence of str
        Instances in the order of the data flow. Cells of others come last.

    Returns
    -------
    Path
        ``{top}.pinned.json``.
    """
    content = json.loads(netlist.read_bytes())
    cells = content["modules"][netlist.stem]["cells"]
    for kind in ("MULT18X18D", "DP16KD"):
        names = [name for name, cell in cells.items() if cell["type"] == kind]
        names.sort(key=lambda name: (_rank(engine_of(name), engines), _by_number(name)))
        # A design that needs more sites than there are is too large, which nextpnr says.
        for name, site in zip(names, SITES[device.name].of(kind), strict=False):
            cells[name]["attributes"]["BEL"] = site
    pinned = netlist.with_name(f"{netlist.stem}.pinned.json")
    write_text(pinned, json.dumps(content))
    return pinned


def _rank(engine: str, engines: Sequence[str]) -> int:
    """Return the place of an engine; queues and gearboxes begin with the name of theirs."""
    owners = [name for name in engines if engine == name or engine.startswith(f"{name}_")]
    return engines.index(max(owners, key=len)) if owners else len(engines)


def _by_number(name: str) -> list[tuple[int, str]]:
    """Sort ``pe_2`` before ``pe_10``."""
    return [(int(part) if part.isdigit() else 0, part) for part in NUMBER.split(name)]
