"""Verilog of a network on a board, behind a serial line."""

from systolith.devices import Board
from systolith.emit.verilog import to_verilog
from systolith.gateware import Technology, technology_for
from systolith.gateware.board import BoardConfig, BoardTop
from systolith.gateware.primitives import Pll, choose_pll
from systolith.plan import NetworkPlan, PlanError

__all__ = ["BOARD_TOP", "board_config", "emit_board"]

BOARD_TOP = "systolith_board"


def board_config(plan: NetworkPlan, board: Board, *, clock_mhz: float, baud: int) -> BoardConfig:
    """Constants of the server on a board; see :meth:`BoardConfig.of` for what is refused."""
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
    """Generate the Verilog of everything on the device; the top module is :data:`BOARD_TOP`.

    Parameters
    ----------
    plan : NetworkPlan
    board : Board
    clock_mhz : float
        Of the design. The nearest that a PLL makes of the board's, not above.
    baud : int
        Of the serial line.
    technology : Technology, optional
        GENERIC for simulation, where `clk` is the design's clock. Default: that of the board.

    Raises
    ------
    PlanError
        If the network cannot be served, or no PLL makes such a clock.
    """
    config = board_config(plan, board, clock_mhz=clock_mhz, baud=baud)
    pll = _pll(board, clock_mhz)
    top = BoardTop(plan, config, pll, lights=board.lights, dark_is_one=board.dark_is_one)
    return to_verilog(top, BOARD_TOP, technology or _technology(board))


def _pll(board: Board, clock_mhz: float) -> Pll | None:
    """What makes the design's clock; None if it is the board's."""
    if clock_mhz == board.clock_mhz:
        return None
    try:
        return choose_pll(board.clock_mhz, clock_mhz, _technology(board))
    except ValueError as error:
        raise PlanError([str(error)]) from error


def _technology(board: Board) -> Technology:
    return technology_for(board.part.device.family)
