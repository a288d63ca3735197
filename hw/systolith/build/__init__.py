"""From Verilog to a bitstream with the open tools: synthesis, place and route, timing."""

from systolith.build.bitstream import build_bitstream, check_programs, estimate_cells
from systolith.build.cells import CellCounts, cells_by_engine, count_cells
from systolith.build.families import ResourceUse, find_tools
from systolith.build.netlist import OTHER, Netlist, engine_of, read_netlist
from systolith.build.place_and_route import TooLargeError, place_and_route
from systolith.build.placement import PlacedCell, Placement, Site, read_placement
from systolith.build.placers import Placer, placer_problem
from systolith.build.result import BuildResult
from systolith.build.routers import Attempt, Router, router_problem
from systolith.build.synthesis import synthesize
from systolith.build.timing import CriticalPath, Hop, PlacementReport, read_placement_report

__all__ = [
    "OTHER",
    "Attempt",
    "BuildResult",
    "CellCounts",
    "CriticalPath",
    "Hop",
    "Netlist",
    "PlacedCell",
    "Placement",
    "PlacementReport",
    "Placer",
    "ResourceUse",
    "Router",
    "Site",
    "TooLargeError",
    "build_bitstream",
    "cells_by_engine",
    "check_programs",
    "count_cells",
    "engine_of",
    "estimate_cells",
    "find_tools",
    "place_and_route",
    "placer_problem",
    "read_netlist",
    "read_placement",
    "read_placement_report",
    "router_problem",
    "synthesize",
]
