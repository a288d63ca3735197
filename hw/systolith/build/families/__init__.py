"""The open FPGA tools of each device family: one module per family, one entry in the table."""

from systolith.build.families.table import FAMILIES, find_tools
from systolith.build.families.tools import FamilyTools, NextPnr, ResourceUse

__all__ = ["FAMILIES", "FamilyTools", "NextPnr", "ResourceUse", "find_tools"]
