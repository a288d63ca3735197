"""The open tools of each device family."""

from systolith.build.ecp5 import ECP5
from systolith.build.flow import Flow
from systolith.build.gowin import GOWIN
from systolith.build.ice40 import ICE40
from systolith.build.nexus import NEXUS
from systolith.build.xilinx import XILINX7
from systolith.devices import Device, Family

__all__ = ["FLOWS", "flow_of"]

FLOWS = {
    Family.ECP5: ECP5,
    Family.GOWIN: GOWIN,
    Family.ICE40: ICE40,
    Family.NEXUS: NEXUS,
    Family.XILINX7: XILINX7,
}
"""Tools by family."""


def flow_of(device: Device) -> Flow:
    """Look up the tools for a device."""
    return FLOWS[device.family]
