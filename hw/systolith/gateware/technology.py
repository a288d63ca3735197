"""Which cells a design may be made of."""

from enum import Enum

__all__ = ["Technology", "technology_of"]


class Technology(Enum):
    """What primitives are made of."""

    GENERIC = "generic"
    """Plain Verilog, for simulation and for any synthesis."""
    ECP5 = "ecp5"
    """Cells of a Lattice ECP5: MULT18X18D, DP16KD."""


def technology_of(platform: object) -> Technology:
    """Read a platform's attribute `technology`; generic if it has none."""
    found = getattr(platform, "technology", Technology.GENERIC)
    assert isinstance(found, Technology)
    return found
