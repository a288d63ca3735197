"""Simulation of synthesized netlists: cell models, and a simulated board behind a serial line."""

from systolith.netlist.board import SimulatedBoard, compile_board
from systolith.netlist.verilog import MODELS, netlist_design, netlist_verilog

__all__ = ["MODELS", "SimulatedBoard", "compile_board", "netlist_design", "netlist_verilog"]
