"""Verilog of a network with its outside interfaces."""

import re
from enum import Enum
from importlib.metadata import version
from math import ceil
from pathlib import Path

from systolith.emit.design import StreamPort
from systolith.emit.header import shell_header
from systolith.emit.load import load_bytes
from systolith.emit.network import input_stream, output_streams
from systolith.emit.verilog import to_verilog
from systolith.foundation import replacing
from systolith.gateware import Pipeline
from systolith.gateware.shell import AxiTop, ShellConfig, StreamFormat, WishboneTop
from systolith.network import content_hash
from systolith.plan import NetworkPlan

__all__ = ["Bus", "emit_shell", "shell_config", "write_shell"]


class Bus(Enum):
    """What the registers hang on; the value begins the names of modules."""

    AXI = "systolith_axi"
    WISHBONE = "systolith_wishbone"


def shell_config(plan: NetworkPlan) -> ShellConfig:
    """Constants of the shell around a network's pipeline."""
    major, minor, patch = map(int, re.findall(r"\d+", version("systolith"))[:3])
    return ShellConfig(
        version=(major, minor, patch),
        network_hash=int(content_hash(plan.network)[:16], 16),
        input=_format(input_stream(plan)),
        outputs=tuple(map(_format, output_streams(plan))),
        # As many as are under way when the pipeline is full, and one more.
        most_frames=ceil(plan.latency_cycles / plan.cycles_per_frame) + 1,
        load_bytes=len(load_bytes(plan, plan.network)) if plan.reloadable else 0,
    )


def _format(port: StreamPort) -> StreamFormat:
    return StreamFormat(act=port.tensor.type, lanes=port.lanes, transfers=port.transfers_per_frame)


def emit_shell(plan: NetworkPlan, *, bus: Bus = Bus.AXI, top: str | None = None) -> str:
    """Generate the Verilog of a network with AXI4-Stream data and registers on a bus.

    Parameters
    ----------
    plan : NetworkPlan
        The network and its engines.
    bus : Bus
        AXI4-Lite or Wishbone.
    top : str, optional
        Name of the top module; default: the bus's.

    Returns
    -------
    str
        Synthesizable Verilog-2005; equal plans give equal text.
    """
    kind = {Bus.AXI: AxiTop, Bus.WISHBONE: WishboneTop}[bus]
    return to_verilog(kind(Pipeline(plan), shell_config(plan)), top or bus.value)


def write_shell(
    plan: NetworkPlan, folder: Path, *, bus: Bus = Bus.AXI, top: str | None = None
) -> Path:
    """Write ``{top}.v`` into `folder`, whole or not at all. Returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    name = top or bus.value
    verilog = emit_shell(plan, bus=bus, top=name)
    header = shell_header(verilog, name, plan, content_hash(plan.network))
    path = folder / f"{name}.v"
    with replacing(path) as temporary:
        temporary.write_text(header + verilog)
    return path
