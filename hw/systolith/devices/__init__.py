"""FPGAs, parts and boards that designs are made for, and the programs that serve them."""

from systolith.devices.boards import BOARDS, Board, Constraints, find_board
from systolith.devices.budget import (
    BLOCK_18K,
    ICE40_BLOCK,
    KINDS,
    NOTHING,
    BlockRam,
    Budget,
    Resources,
    is_count,
)
from systolith.devices.device import DEVICES, ROUTABLE_PERCENT, Device, Family
from systolith.devices.parts import VARIANTS, Part, Variants, find_part, variants_of
from systolith.devices.programs import (
    PACKAGES,
    Heard,
    MissingProgramError,
    ToolError,
    find_programs,
    run_program,
    starting,
)

__all__ = [
    "BLOCK_18K",
    "BOARDS",
    "DEVICES",
    "ICE40_BLOCK",
    "KINDS",
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
    "Heard",
    "MissingProgramError",
    "Part",
    "Resources",
    "ToolError",
    "Variants",
    "find_board",
    "find_part",
    "find_programs",
    "is_count",
    "run_program",
    "starting",
    "variants_of",
]
