"""Verilog of a network with the interfaces of a bus or a board around it."""

import re
from enum import Enum
from importlib.metadata import version
from math import ceil
from pathlib import Path

from systolith.devices import Board
from systolith.emit.design import StreamPort
from systolith.emit.header import format_shell_header
from systolith.emit.load import load_bytes
from systolith.emit.network import input_stream, output_streams
from systolith.emit.verilog import to_verilog
from systolith.foundation import replacing
from systolith.gateware import Pipeline, Technology, technology_for
from systolith.gateware.board import BoardConfig, BoardTop
from systolith.gateware.primitives import Pll, choose_pll
from systolith.gateware.shell import AxiTop, ShellConfig, StreamFormat, WishboneTop
from systolith.network import content_hash
from systolith.plan import NetworkPlan, PlanError

__all__ = [
    "BOARD_TOP",
    "Bus",
    "board_config",
    "emit_board",
    "emit_shell",
    "shell_config",
    "write_shell",
]

BOARD_TOP = "systolith_board"


class Bus(Enum):
    """Bus of the registers; the value is the default name of the top module."""

    AXI = "systolith_axi"
    WISHBONE = "systolith_wishbone"


def shell_config(plan: NetworkPlan) -> ShellConfig:
    """Return the constants of the shell around a network's pipeline."""
    major, minor, patch = map(int, re.findall(r"\d+", version("systolith"))[:3])
    return ShellConfig(
        version=(major, minor, patch),
        network_hash=int(content_hash(plan.network)[:16], 16),
        input=_format(input_stream(plan)),
        outputs=tuple(map(_format, output_streams(plan))),
        # Frames in a full pipeline, and one more.
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
        Name of the top module; default: the value of `bus`.

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
    header = format_shell_header(verilog, name, plan, content_hash(plan.network))
    path = folder / f"{name}.v"
    with replacing(path) as temporary:
        temporary.write_text(header + verilog)
    return path


def board_config(plan: NetworkPlan, board: Board, *, clock_mhz: float, baud: int) -> BoardConfig:
    """Return the constants of the server on a board.

    :meth:`BoardConfig.of` says what it refuses.
    """
    pll = _pll(board, clock_mhz)
    clock = pll.output_mhz if pll else board.clock_mhz
    return BoardConfig.of(plan, clock_hz=clock * 1e6, baud=baud)


def emit_board(
    plan: NetworkPlan,
    board: Board,
    *,
    clock_mhz: float,
    baud: int,
    technology: Technology | None = None,
) -> str:
    """Generate the Verilog of a whole board, with top module :data:`BOARD_TOP`.

    Parameters
    ----------
    plan : NetworkPlan
    board : Board
    clock_mhz : float
        Highest clock of the design. A PLL makes the nearest clock at or below it.
    baud : int
        Baud rate of the serial line.
    technology : Technology, optional
        GENERIC for simulation, with `clk` as the clock of the design. Default: the board's.

    Raises
    ------
    PlanError
        If the board cannot serve the network, or its PLL cannot make such a clock.
    """
    config = board_config(plan, board, clock_mhz=clock_mhz, baud=baud)
    pll = _pll(board, clock_mhz)
    top = BoardTop(plan, config, pll, lights=board.lights, dark_is_one=board.dark_is_one)
    return to_verilog(top, BOARD_TOP, technology or _technology(board))


def _pll(board: Board, clock_mhz: float) -> Pll | None:
    """Choose the PLL for the clock of the design; None if it equals the board's clock."""
    if clock_mhz == board.clock_mhz:
        return None
    try:
        return choose_pll(board.clock_mhz, clock_mhz, _technology(board))
    except ValueError as error:
        raise PlanError([str(error)]) from error


def _technology(board: Board) -> Technology:
    return technology_for(board.part.device.family)
