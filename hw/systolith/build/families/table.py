"""The table of device families, each with the module that describes its tools."""

from systolith.build.families.ecp5 import ECP5
from systolith.build.families.gowin import GOWIN
from systolith.build.families.ice40 import ICE40
from systolith.build.families.nexus import NEXUS
from systolith.build.families.tools import FamilyTools
from systolith.build.families.xilinx7 import XILINX7
from systolith.devices import Device, Family

__all__ = ["FAMILIES", "find_tools"]

FAMILIES = {
    Family.ECP5: ECP5,
    Family.GOWIN: GOWIN,
    Family.ICE40: ICE40,
    Family.NEXUS: NEXUS,
    Family.XILINX7: XILINX7,
}


def find_tools(device: Device) -> FamilyTools:
    """Look up the tools for a device."""
    return FAMILIES[device.family]
