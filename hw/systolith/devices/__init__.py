"""FPGAs, parts and boards that designs target, and the programs of the open FPGA tools."""

from systolith.devices.boards import BOARDS, Board, Constraints, find_board
from systolith.devices.budget import (
    BLOCK_18K,
    ICE40_BLOCK,
    KINDS,
    NOTHING,
    BlockRam,
    Budget,
    Resources,
    is_integer,
)
from systolith.devices.device import DEVICES, LARGE_CELLS, ROUTABLE_PERCENT, Device, Family
from systolith.devices.parts import VARIANTS, Part, Variants, find_part, variants_of
from systolith.devices.programs import (
    PACKAGES,
    MissingProgramError,
    OutOfTimeError,
    ToolError,
    excerpt_log,
    explain_start_failure,
    find_programs,
    run_program,
)
from systolith.devices.toolsets import Tool, ToolSource, choose_programs, list_programs

__all__ = [
    "BLOCK_18K",
    "BOARDS",
    "DEVICES",
    "ICE40_BLOCK",
    "KINDS",
    "LARGE_CELLS",
    "NOTHING",
    "PACKAGES",
    "ROUTABLE_PERCENT",
    "VARIANTS",
    "BlockRam",
    "Board",
    "Budget",
    "Constraints",
    "Device",
    "Family",
    "MissingProgramError",
    "OutOfTimeError",
    "Part",
    "Resources",
    "Tool",
    "ToolError",
    "ToolSource",
    "Variants",
    "choose_programs",
    "excerpt_log",
    "explain_start_failure",
    "find_board",
    "find_part",
    "find_programs",
    "is_integer",
    "list_programs",
    "run_program",
    "variants_of",
]
