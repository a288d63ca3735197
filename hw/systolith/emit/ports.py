"""Ports of an emitted top module and their meaning."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from systolith.emit.design import Design, StreamPort

__all__ = ["STREAM_RULES", "Port", "read_ports"]

DECLARED = re.compile(r"^  (input|output) (?:\[(\d+):0\] )?(\w+);$", re.MULTILINE)
FIXED = {
    "clk": "clock; all ports are synchronous to its rising edge",
    "rst": "synchronous reset, active high, for at least one cycle",
    "load": "load chain of parameters: {data[7:0], valid, start}, see README.md",
    "loaded": "1: all parameters are present, from the Verilog or from a complete load",
    "overflow": "1: the load had more bytes than the memories hold",
    "aclk": "clock; all ports are synchronous to its rising edge",
    "aresetn": "synchronous reset, active low, for at least one cycle",
    "wb_clk_i": "clock; all ports are synchronous to its rising edge",
    "wb_rst_i": "synchronous reset, active high, for at least one cycle",
}
PREFIXES = (
    ("s_axis_", "AXI4-Stream: images in"),
    ("m_axis_", "AXI4-Stream: results out"),
    ("s_axil_", "AXI4-Lite: registers"),
    ("wb_", "Wishbone B4: registers"),
)
PARTS = {
    "payload": "{what}",
    "valid": "1: {what} is offered; does not wait for ready",
    "ready": "1: {what} is accepted at the next rising edge if it is offered",
}
STREAM_RULES = (
    "A transfer happens at each rising edge at which valid and ready are both 1. valid never waits "
    "for ready, and an offered payload is stable until its transfer. Either side may pause at any "
    "time for any number of cycles."
)


@dataclass(frozen=True, slots=True)
class Port:
    """A port of the top module.

    Attributes
    ----------
    direction : str
        ``"input"`` or ``"output"``.
    name : str
    width : int
        Bits.
    meaning : str
    """

    direction: str
    name: str
    width: int
    meaning: str

    @property
    def range(self) -> str:
        """Range in Verilog; empty for one bit."""
        return f"[{self.width - 1}:0]" if self.width > 1 else ""


def read_ports(verilog: str, design: Design | None) -> list[Port]:
    """Read the ports of the first module, clock and reset first.

    Parameters
    ----------
    verilog : str
    design : Design, optional
        Gives the streams their meaning; None for a shell.
    """
    top = verilog.partition("endmodule")[0]
    streams = (
        {} if design is None else {port.signal: port for port in (design.input, *design.outputs)}
    )
    ports = [
        Port(direction, name, int(high or 0) + 1, _port_meaning(name, streams))
        for direction, high, name in DECLARED.findall(top)
    ]
    order = list(FIXED)
    return sorted(
        ports,
        key=lambda port: (order.index(port.name) if port.name in FIXED else len(order), port.name),
    )


def _port_meaning(name: str, streams: Mapping[str, StreamPort]) -> str:
    if name in FIXED:
        return FIXED[name]
    signal, _, part = name.rpartition("__")
    if signal in streams:
        port = streams[signal]
        what = "the image" if port.signal == "i" else f"the result '{port.layer}'"
        if part == "payload":
            bits = port.tensor.type.bits
            return f"{port.lanes} x {bits} bits of {what}"
        return PARTS[part].format(what=f"a transfer of {what}")
    return next((text for prefix, text in PREFIXES if name.startswith(prefix)), "")
