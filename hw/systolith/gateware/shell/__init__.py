"""External interfaces of a pipeline: AXI4-Stream, and registers on AXI4-Lite or Wishbone."""

from systolith.gateware.shell.activity import Activity, FrameJoin, Watchdog
from systolith.gateware.shell.axi_lite import AxiLite
from systolith.gateware.shell.axi_stream import RegisterSlice, packet
from systolith.gateware.shell.config import ShellConfig, StreamFormat
from systolith.gateware.shell.frames import FrameCheck, FrameEnd
from systolith.gateware.shell.load_port import LoadPort
from systolith.gateware.shell.register_map import (
    Access,
    Field,
    Register,
    format_register_map,
    register_map,
)
from systolith.gateware.shell.registers import REQUEST, RESPONSE, WRITTEN, RegisterFile
from systolith.gateware.shell.shell import Shell
from systolith.gateware.shell.tops import AxiTop, WishboneTop, output_prefixes
from systolith.gateware.shell.wishbone import Wishbone

__all__ = [
    "REQUEST",
    "RESPONSE",
    "WRITTEN",
    "Access",
    "Activity",
    "AxiLite",
    "AxiTop",
    "Field",
    "FrameCheck",
    "FrameEnd",
    "FrameJoin",
    "LoadPort",
    "Register",
    "RegisterFile",
    "RegisterSlice",
    "Shell",
    "ShellConfig",
    "StreamFormat",
    "Watchdog",
    "Wishbone",
    "WishboneTop",
    "format_register_map",
    "output_prefixes",
    "packet",
    "register_map",
]
