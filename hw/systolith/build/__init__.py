"""From Verilog to a bitstream, with the open tools: synthesis, place and route, timing."""

from systolith.build.bitstream import Placed, build_bitstream, check_programs, estimate_cells
from systolith.build.cells import CellCounts, cells_by_engine, count_cells
from systolith.build.families import flow_of
from systolith.build.flow import Use
from systolith.build.netlist import OTHER, Netlist, engine_of, read_netlist
from systolith.build.placement import TooLargeError, place
from systolith.build.places import PlacedCell, Placement, Site, read_placement
from systolith.build.synthesis import synthesize
from systolith.build.timing import CriticalPath, Hop, PlacementReport, read_report

__all__ = [
    "OTHER",
    "CellCounts",
    "CriticalPath",
    "Hop",
    "Netlist",
    "Placed",
    "PlacedCell",
    "Placement",
    "PlacementReport",
    "Site",
    "TooLargeError",
    "Use",
    "build_bitstream",
    "cells_by_engine",
    "check_programs",
    "count_cells",
    "engine_of",
    "estimate_cells",
    "flow_of",
    "place",
    "read_netlist",
    "read_placement",
    "read_report",
    "synthesize",
]
