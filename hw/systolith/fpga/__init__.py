"""From Verilog to a bitstream, with the open tools: synthesis, place and route, timing."""

from systolith.fpga.boards import BOARDS, Board, find_board
from systolith.fpga.build import Placed, build_bitstream, check_programs
from systolith.fpga.cells import CellCounts, available_cells, cells_by_engine, count_cells
from systolith.fpga.errors import MissingProgramError, ToolError
from systolith.fpga.netlist import OTHER, Netlist, engine_of, read_netlist
from systolith.fpga.parts import Part, find_part
from systolith.fpga.places import PlacedCell, Placement, Site, read_placement
from systolith.fpga.programs import find_programs, run_program
from systolith.fpga.timing import CriticalPath, Hop, PlacementReport, read_report

__all__ = [
    "BOARDS",
    "OTHER",
    "Board",
    "CellCounts",
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
    "ToolError",
    "available_cells",
    "build_bitstream",
    "cells_by_engine",
    "check_programs",
    "count_cells",
    "engine_of",
    "find_board",
    "find_part",
    "find_programs",
    "read_netlist",
    "read_placement",
    "read_report",
    "run_program",
]
