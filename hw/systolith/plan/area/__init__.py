"""Estimates of LUTs, flip-flops, DSPs and block RAMs of each stage, and of the clock."""

from systolith.plan.area.clock import SPEED_FACTORS, extent_of, fmax_of
from systolith.plan.area.engine_parts import (
    CHOSEN,
    COMMON,
    Choice,
    Parts,
    PartsOf,
    end_flip_flops,
    end_luts,
    output_buffer,
    sequence,
    together,
)
from systolith.plan.area.logic import (
    Logic,
    LogicShare,
    chosen_logic,
    common_logic,
    flip_flop_parts,
    logic_of,
    lut_parts,
    summed,
    weighed,
)
from systolith.plan.area.resources import Choices, engine_resources, requantizer_dsps, resources_of

__all__ = [
    "CHOSEN",
    "COMMON",
    "SPEED_FACTORS",
    "Choice",
    "Choices",
    "Logic",
    "LogicShare",
    "Parts",
    "PartsOf",
    "chosen_logic",
    "common_logic",
    "end_flip_flops",
    "end_luts",
    "engine_resources",
    "extent_of",
    "flip_flop_parts",
    "fmax_of",
    "logic_of",
    "lut_parts",
    "output_buffer",
    "requantizer_dsps",
    "resources_of",
    "sequence",
    "summed",
    "together",
    "weighed",
]
