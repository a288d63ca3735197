"""From Verilog to a bitstream, with the open tools: synthesis, place and route, timing."""

from systolith.fpga.boards import BOARDS, Board, find_board
from systolith.fpga.build import Placed, build_bitstream, check_programs, estimate_cells
from systolith.fpga.cells import CellCounts, cells_by_engine, count_cells
from systolith.fpga.errors import MissingProgramError, TooLargeError, ToolError
from systolith.fpga.families import find_part, flow_of, variants_of
from systolith.fpga.flow import Constraints, Use
from systolith.fpga.netlist import OTHER, Netlist, engine_of, read_netlist
from systolith.fpga.parts import Part
from systolith.fpga.placement import place
from systolith.fpga.places import PlacedCell, Placement, Site, read_placement
from systolith.fpga.programs import PACKAGES, find_programs, run_program, starting
from systolith.fpga.synthesis import synthesize
from systolith.fpga.timing import CriticalPath, Hop, PlacementReport, read_report

__all__ = [
    "BOARDS",
    "OTHER",
    "PACKAGES",
    "Board",
    "CellCounts",
    "Constraints",
    "CriticalPath",
    "Hop",
    "MissingProgramError",
    "Netlist",
    "Part",
    "Placed",
    "PlacedCell",
    "Placement",
    "PlacementReport",
    "Site",
    "TooLargeError",
    "ToolError",
    "Use",
    "build_bitstream",
    "cells_by_engine",
    "check_programs",
    "count_cells",
    "engine_of",
    "estimate_cells",
    "find_board",
    "find_part",
    "find_programs",
    "flow_of",
    "place",
    "read_netlist",
    "read_placement",
    "read_report",
    "run_program",
    "starting",
    "synthesize",
    "variants_of",
]
