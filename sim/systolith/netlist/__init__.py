"""Netlists that synthesis makes: models of their cells, and Verilog that can be simulated."""

from systolith.netlist.verilog import MODELS, netlist_design, netlist_verilog

__all__ = ["MODELS", "netlist_design", "netlist_verilog"]
