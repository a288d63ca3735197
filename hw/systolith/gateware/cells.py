"""Components that a design contains many times: one Verilog module, many instances."""

from collections.abc import Iterator
from enum import Enum
from typing import Any

from amaranth import ClockSignal, Instance, Module, ResetSignal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from systolith.devices import Family

__all__ = ["CellLibrary", "Technology", "add_cell", "technology_for", "technology_of"]


class Technology(Enum):
    """Cells that primitives are made of."""

    GENERIC = "generic"
    """Plain Verilog, for simulation and for any synthesis."""
    ECP5 = "ecp5"
    """Cells of a Lattice ECP5: EHXPLLL, MULT18X18D, DP16KD."""
    GOWIN = "gowin"
    """Cells of a Gowin GW1N or GW2A: rPLL, MULT9X9, MULT18X18; memories are plain Verilog."""
    NEXUS = "nexus"
    """Cells of a Lattice CrossLink-NX: MULT18X18; memories are plain Verilog."""


def technology_for(family: Family) -> Technology:
    """Choose the cells for a family of devices."""
    technologies = {
        Family.ECP5: Technology.ECP5,
        Family.GOWIN: Technology.GOWIN,
        Family.NEXUS: Technology.NEXUS,
    }
    return technologies.get(family, Technology.GENERIC)


def technology_of(platform: object) -> Technology:
    """Read a platform's attribute `technology`; generic if it has none."""
    technology = getattr(platform, "technology", Technology.GENERIC)
    assert isinstance(technology, Technology)
    return technology


class CellLibrary:
    """A platform for Verilog on which equal components become instances of one module.

    Amaranth elaborates equal components separately, so an array would have one module for each PE.
    Amaranth's simulator needs no library: there, :func:`add_cell` adds submodules.

    Parameters
    ----------
    prefix : str
        Beginning of the names of all modules.
    technology : Technology
        Cells that primitives are made of.
    """

    def __init__(self, prefix: str, technology: Technology = Technology.GENERIC) -> None:
        self.technology = technology
        self._prefix = prefix
        self._cells: dict[tuple[Any, ...], tuple[str, wiring.Component]] = {}

    def instance(self, m: Module, name: str, kind: Any, *arguments: Any) -> Any:
        """Add an instance of ``kind(*arguments)``. Returns signals like the component's ports."""
        key = (kind, arguments)
        if key not in self._cells:
            component = kind(*arguments)
            self._cells[key] = self._unused(component.cell_name), component
        cell, component = self._cells[key]
        ports = component.signature.create(path=(name,))
        pins = {
            f"{'i' if member.flow is In else 'o'}_{'__'.join(map(str, path))}": value
            for path, member, value in component.signature.flatten(ports)
        }
        clocked = {"i_clk": ClockSignal(), "i_rst": ResetSignal()}
        m.submodules[name] = Instance(cell, **clocked, **pins)
        return ports

    def cells(self) -> Iterator[tuple[str, wiring.Component]]:
        """Yield name and component of each module, also of those added while iterating."""
        done = 0
        while done < len(self._cells):
            yield list(self._cells.values())[done]
            done += 1

    def _unused(self, name: str) -> str:
        taken = {cell for cell, _ in self._cells.values()}
        wanted = f"{self._prefix}_{name}"
        unused, number = wanted, 1
        while unused in taken:
            number += 1
            unused = f"{wanted}_{number}"
        return unused


def add_cell(platform: object, m: Module, name: str, kind: Any, *arguments: Any) -> Any:
    """Add ``kind(*arguments)`` to a module; as an instance if the platform is a library.

    Parameters
    ----------
    platform : object
        Argument of `elaborate`.
    m : Module
        Module that gets the component.
    name : str
        Name of the submodule.
    kind : type
        A component class with an attribute `cell_name`.
    *arguments
        Arguments of its constructor: hashable, and everything that the component depends on.

    Returns
    -------
    wiring.Component or wiring.PureInterface
        With the component's ports as attributes.
    """
    if isinstance(platform, CellLibrary):
        return platform.instance(m, name, kind, *arguments)
    m.submodules[name] = component = kind(*arguments)
    return component
