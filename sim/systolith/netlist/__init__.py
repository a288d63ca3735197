"""Simulation of synthesized netlists: cell models, and a simulated board behind a serial line."""

from systolith.bench.board import SimulatedBoard, compile_board
from systolith.bench.verilog import MODELS, netlist_design, netlist_verilog

__all__ = ["MODELS", "SimulatedBoard", "compile_board", "netlist_design", "netlist_verilog"]
