"""Which cells a design may be made of."""

from enum import Enum

from systolith.devices import Family

__all__ = ["Technology", "technology_for", "technology_of"]


class Technology(Enum):
    """What primitives are made of."""

    GENERIC = "generic"
    """Plain Verilog, for simulation and for any synthesis."""
    ECP5 = "ecp5"
    """Cells of a Lattice ECP5: EHXPLLL, MULT18X18D, DP16KD."""
    GOWIN = "gowin"
    """Cells of a Gowin GW1N or GW2A: rPLL, MULT9X9, MULT18X18; memories are plain Verilog."""


def technology_for(family: Family) -> Technology:
    """What a design for a family is made of."""
    known = {Family.ECP5: Technology.ECP5, Family.GOWIN: Technology.GOWIN}
    return known.get(family, Technology.GENERIC)


def technology_of(platform: object) -> Technology:
    """Read a platform's attribute `technology`; generic if it has none."""
    found = getattr(platform, "technology", Technology.GENERIC)
    assert isinstance(found, Technology)
    return found
